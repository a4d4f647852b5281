//! What sottovoce.toml means, and what is said about one that cannot work.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::control::directory::AgentNotice;
use crate::control::input::Network;
use crate::control::settings::{Codes, RouteTarget};
use crate::edge::config::{
    CallerId, Config, ConfigError, DatabaseUrl, Io, PortRange, Transport, WebhookSettings,
};
use crate::media::codec::Codec;

/// The example of the manual, whole.
const EXAMPLE: &str = r##"
[node]
name = "node-1"
data_dir = "data"
language = "en"

[sip]
listen = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]
advertise = "127.0.0.1"
domain = "sottovoce.local"

[rtp]
bind = "127.0.0.1"
advertise = "127.0.0.1"
ports = "20000-29999"
threads = 0
io = "auto"

[http]
listen = "127.0.0.1:8080"

[database]
url = "sqlite:data/sottovoce.db"

[media]
codecs = ["PCMU", "PCMA", "opus"]
max_conferences = 0
in_band_dtmf = "auto"

[supervising]
agent_notice = "tone"
answer_unregistered = true
supervisable = ["pool", "outbound", "direct"]
max_per_call = 4
speaking = "one"
whisper_caller = "on_net"
takeover_confirm = false
on_agent_hangup_in_barge = "stay"
ticket_ttl = "120s"
allow_unlisted_callout = false
pin = "untrusted"
hear_held_customer = false
follow_customer = false

[supervising.codes]
monitor = "5"
coach = "4"
barge = ["6", "0"]
takeover = "1"
whisper_caller = "8"
hang_up = "7"
next = "3"
accept_help = "2"
status = "9"

[[trunk]]
name = "carrier"
peers = ["127.0.0.2"]
uri = "sip:127.0.0.2:5060"
caller_id = "trusted"
network = "external"
username = "us"
password = "${CARRIER_PASSWORD}"

[[trunk]]
name = "pbx"
peers = ["127.0.0.0/8"]
uri = "sip:127.0.0.3:5060"
caller_id = "verstat"
network = "internal"

[[route]]
number = "^2\\d\\d$"
from = ["carrier", "agents"]
to = "agent"
[[route]]
number = "^\\+?\\d{5,}$"
to = "trunk:carrier"
[[route]]
number = "^support$"
to = "pool:support"
"##;

fn environment(name: &str) -> Option<String> {
    (name == "CARRIER_PASSWORD").then(|| "s3cret".to_owned())
}

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/sv/sottovoce.toml"), text, &environment)
}

fn refusal(text: &str) -> String {
    match read(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string().replace("/etc/sv/", ""),
    }
}

#[test]
fn the_example_of_the_manual_is_understood_whole() {
    let config = read(EXAMPLE).unwrap();

    assert_eq!(config.sip.listen[1].transport, Transport::Tcp);
    assert_eq!(config.sip.listen[1].addr.port(), 5060);
    assert_eq!(
        config.database,
        DatabaseUrl::Sqlite("/etc/sv/data/sottovoce.db".into())
    );
    assert_eq!(config.trunks[0].caller_id, CallerId::Trusted);
    assert_eq!(config.trunks[1].network, Network::Internal);
    let credentials = config.trunks[0].credentials.as_ref().unwrap();
    assert_eq!(credentials.password, "s3cret");
    let routes = &config.settings.routes;
    assert!(routes[0].number.is_match("204") && !routes[0].number.is_match("2040"));
    assert_eq!(routes[0].from.as_ref().unwrap().len(), 2);
    assert_eq!(
        routes[1].to,
        RouteTarget::Trunk {
            name: "carrier".into(),
            external: true
        }
    );
    assert_eq!(routes[2].to, RouteTarget::Pool("support".into()));
    assert_eq!(config.settings.codes, Codes::default());
    assert_eq!(config.settings.agent_notice, AgentNotice::Tone);
}

#[test]
fn an_empty_file_gives_the_defaults_of_the_manual() {
    let defaults = read("").unwrap();
    let example = read(EXAMPLE).unwrap();

    assert_eq!(defaults.node.name, example.node.name);
    assert_eq!(defaults.node.data_dir, PathBuf::from("/etc/sv/data"));
    assert_eq!(defaults.sip.listen, example.sip.listen);
    assert_eq!(defaults.sip.domain, example.sip.domain);
    assert_eq!(defaults.rtp, example.rtp);
    assert_eq!(defaults.http, example.http);
    assert_eq!(defaults.database, example.database);
    assert_eq!(defaults.settings.codecs, example.settings.codecs);
    assert_eq!(defaults.settings.ticket_ttl, Duration::from_secs(120));
    assert_eq!(defaults.settings.pin, example.settings.pin);
    assert_eq!(defaults.settings.routes[0].to, RouteTarget::Agent);
    assert!(defaults.trunks.is_empty());
    assert_eq!(defaults.audit_days, None, "for ever");
    assert!(defaults.settings.shards >= 1);
}

#[test]
fn every_key_is_read() {
    let config = read(
        r#"
        [node]
        name = "n2"
        data_dir = "/var/lib/sv"
        language = "fi"
        [sip]
        listen = ["udp:[::1]:5070"]
        advertise = "sip.example.net"
        domain = "example.net"
        [rtp]
        bind = "::"
        advertise = "2001:db8::1"
        ports = "4000-4001"
        threads = 3
        io = "epoll"
        [http]
        listen = "[::1]:80"
        [database]
        url = "postgres://sv:pw@db/sv"
        [media]
        codecs = ["G722", "pcma"]
        max_conferences = 7
        in_band_dtmf = "never"
        [supervising]
        agent_notice = "silent"
        answer_unregistered = false
        supervisable = ["pool"]
        max_per_call = 2
        speaking = "many"
        whisper_caller = "never"
        takeover_confirm = true
        on_agent_hangup_in_barge = "end"
        ticket_ttl = "5m"
        allow_unlisted_callout = true
        pin = "callback"
        hear_held_customer = true
        follow_customer = true
        [supervising.codes]
        monitor = "9"
        status = "5"
        [webhooks]
        first_retry = "250ms"
        attempts = 3
        timeout = "2s"
        [audit]
        keep_days = 90
        "#,
    )
    .unwrap();
    let settings = &config.settings;

    assert_eq!(config.node.data_dir, PathBuf::from("/var/lib/sv"));
    assert_eq!(config.sip.advertise.as_deref(), Some("sip.example.net"));
    assert_eq!(
        config.rtp.ports,
        PortRange {
            first: 4000,
            last: 4001
        }
    );
    assert_eq!((config.rtp.ports.pairs(), config.rtp.io), (1, Io::Epoll));
    assert_eq!((config.rtp.threads, settings.shards), (3, 3));
    assert_eq!(config.database.to_string(), "postgres://sv@db/sv");
    assert_eq!(settings.codecs, [Codec::G722, Codec::Pcma]);
    assert_eq!((settings.max_conferences, settings.max_per_call), (7, 2));
    assert!(settings.many_speakers && settings.takeover_confirm && settings.follow_customer);
    assert!(settings.supervisable.pool && !settings.supervisable.direct);
    assert_eq!(settings.ticket_ttl, Duration::from_secs(300));
    assert_eq!((settings.codes.monitor, settings.codes.status), ('9', '5'));
    let webhooks = WebhookSettings {
        first_retry: Duration::from_millis(250),
        attempts: 3,
        timeout: Duration::from_secs(2),
    };
    assert_eq!(config.webhooks, webhooks);
    assert_eq!(config.audit_days, Some(90));
}

#[test]
fn what_cannot_work_is_refused_with_line_and_expectation() {
    let table = [
        (
            "[node]\nnmae = \"x\"",
            "sottovoce.toml:2: [node] nmae: unknown key, expected one of name, data_dir, share, language",
        ),
        (
            "[snip]",
            "sottovoce.toml:1: [snip]: unknown table, expected one of node, sip, rtp, http, database, media, supervising, trunk, route, webhooks, audit",
        ),
        (
            "\n[rtp]\nports = \"20001-20010\"",
            "sottovoce.toml:3: [rtp] ports: expected \"first-last\" with even first, 1024 to 65535, such as \"20000-29999\", found \"20001-20010\"",
        ),
        (
            "[rtp]\nports = \"30000-20000\"",
            "sottovoce.toml:2: [rtp] ports: expected \"first-last\"",
        ),
        (
            "[rtp]\nports = \"20000-70000\"",
            "sottovoce.toml:2: [rtp] ports: expected \"first-last\"",
        ),
        (
            "[rtp]\nthreads = 900",
            "sottovoce.toml:2: [rtp] threads: expected a whole number from 0 to 256, found 900",
        ),
        (
            "[rtp]\nio = \"select\"",
            "sottovoce.toml:2: [rtp] io: expected \"auto\" or \"epoll\" or \"io_uring\", found \"select\"",
        ),
        (
            "[rtp]\nbind = \"0.0.0.0\"",
            "sottovoce.toml:2: [rtp] bind: 0.0.0.0 is every address, expected [rtp] advertise to name the address that phones reach",
        ),
        (
            "[rtp]\nbind = \"here\"",
            "sottovoce.toml:2: [rtp] bind: expected an IP address, found \"here\"",
        ),
        (
            "[sip]\nlisten = [\"udp:127.0.0.1\"]",
            "sottovoce.toml:2: [sip] listen: expected listeners such as",
        ),
        (
            "[sip]\nlisten = [\"sctp:127.0.0.1:5060\"]",
            "sottovoce.toml:2: [sip] listen: expected listeners such as",
        ),
        (
            "[sip]\nlisten = [\"udp:0.0.0.0:5060\"]",
            "sottovoce.toml:2: [sip] listen: udp:0.0.0.0:5060 is every address, expected [sip] advertise",
        ),
        (
            "[sip]\nlisten = [\n\"udp:127.0.0.1:5060\",\n\"udp:127.0.0.1:5060\"]",
            "sottovoce.toml:4: [sip] listen: udp:127.0.0.1:5060 is on the port of udp:127.0.0.1:5060, expected one listener on a port",
        ),
        (
            "[http]\nlisten = \"127.0.0.1:5060\"",
            "sottovoce.toml:2: [http] listen: tcp:127.0.0.1:5060 is on the port of tcp:127.0.0.1:5060",
        ),
        (
            "[sip]\nlisten = [\"tcp:127.0.0.1:8080\"]",
            "sottovoce.toml:2: [sip] listen: tcp:127.0.0.1:8080 is on the port of tcp:127.0.0.1:8080",
        ),
        (
            "[sip]\nlisten = [\"udp:127.0.0.1:20002\"]",
            "sottovoce.toml:2: [sip] listen: udp:127.0.0.1:20002 lies inside [rtp] ports 20000-29999, expected a port outside",
        ),
        (
            "[http]\nlisten = \"127.0.0.1:20002\"",
            "sottovoce.toml:2: [http] listen: tcp:127.0.0.1:20002 lies inside [rtp] ports",
        ),
        (
            "[rtp]\nports = \"5000-6000\"",
            "sottovoce.toml:2: [rtp] ports: udp:127.0.0.1:5060 lies inside",
        ),
        (
            "[http]\nlisten = \"127.0.0.1:0\"",
            "sottovoce.toml:2: [http] listen: expected an address and a port",
        ),
        (
            "[sip]\nlisten = [\"tls:127.0.0.1:5061\"]",
            "sottovoce.toml:2: [sip] listen: expected [sip.tls] with cert and key beside a tls listener",
        ),
        (
            "[sip.tls]\ncert = \"/nowhere.pem\"\nkey = \"k\"",
            "sottovoce.toml:2: [sip.tls] cert: expected the path of a PEM file that can be read",
        ),
        (
            "[sip.tls]\ncert = \"c\"",
            "sottovoce.toml:1: [sip.tls]: key is missing, expected the path of a PEM file",
        ),
        (
            "[node]\nlanguage = \"../x\"",
            "sottovoce.toml:2: [node] language: expected a language such as",
        ),
        (
            "[node]\nshare = \"/nowhere\"",
            "sottovoce.toml:2: [node] share: expected the folder of prompts/ and error-codes.toml",
        ),
        (
            "[database]\nurl = \"mysql://x:secret@y\"",
            "sottovoce.toml:2: [database] url: expected \"sqlite:FILE\" or \"postgres://USER@HOST/DATABASE\"",
        ),
        (
            "[database]\nurl = \"sqlite::memory:\"",
            "sottovoce.toml:2: [database] url: expected",
        ),
        (
            "[media]\ncodecs = [\"GSM\"]",
            "sottovoce.toml:2: [media] codecs: expected a list of \"PCMU\", \"PCMA\", \"opus\", \"G722\", each once, found \"GSM\"",
        ),
        (
            "[media]\ncodecs = []",
            "sottovoce.toml:2: [media] codecs: expected a list",
        ),
        (
            "[media]\nmax_conferences = -1",
            "sottovoce.toml:2: [media] max_conferences: expected a whole number from 0",
        ),
        (
            "[supervising]\nmax_per_call = 7",
            "sottovoce.toml:2: [supervising] max_per_call: expected a whole number from 1 to 6, found 7",
        ),
        (
            "[supervising]\nspeaking = \"two\"",
            "sottovoce.toml:2: [supervising] speaking: expected \"one\" or \"many\", found \"two\"",
        ),
        (
            "[supervising]\nticket_ttl = \"0s\"",
            "sottovoce.toml:2: [supervising] ticket_ttl: expected a duration such as \"120s\"",
        ),
        (
            "[supervising]\nticket_ttl = 120",
            "sottovoce.toml:2: [supervising] ticket_ttl: expected a duration such as \"120s\"",
        ),
        (
            "[supervising]\nsupervisable = [\"all\"]",
            "sottovoce.toml:2: [supervising] supervisable: expected a list of",
        ),
        (
            "[supervising]\ntakeover_confirm = \"yes\"",
            "sottovoce.toml:2: [supervising] takeover_confirm: expected true or false, found \"yes\"",
        ),
        (
            "[supervising.codes]\ncoach = \"3\"",
            "sottovoce.toml:2: [supervising.codes] coach: the code of coach is fixed, expected \"4\"",
        ),
        (
            "[supervising.codes]\nbarge = [\"6\"]",
            "sottovoce.toml:2: [supervising.codes] barge: the code of barge is fixed, expected \"0\" and \"6\"",
        ),
        (
            "[supervising.codes]\nnext = \"4\"",
            "sottovoce.toml:2: [supervising.codes] next: \"4\" is already the code of coach, expected a digit that is free",
        ),
        (
            "[supervising.codes]\nmonitor = \"9\"",
            "sottovoce.toml:2: [supervising.codes] monitor: \"9\" is already the code of status",
        ),
        (
            "[supervising.codes]\nnext = \"33\"",
            "sottovoce.toml:2: [supervising.codes] next: expected one digit, \"0\" to \"9\", found \"33\"",
        ),
        (
            "[supervising.codes]\nnext = \"*\"",
            "sottovoce.toml:2: [supervising.codes] next: expected one digit",
        ),
        (
            "[[trunk]]\nname = \"a\"\nuri = \"sip:x\"",
            "sottovoce.toml:1: [[trunk]]: peers is missing, expected a list of source addresses",
        ),
        (
            "[[trunk]]\nnmae = \"a\"\npeers = []\nuri = \"sip:x\"",
            "sottovoce.toml:1: [[trunk]]: name is missing, expected a name of letters, digits, '-', '_' or '.', other than \"agents\"; nmae in line 2 is an unknown key: is name meant?",
        ),
        (
            "[[route]]\nnumbers = \"^2$\"\nto = \"agent\"",
            "sottovoce.toml:1: [[route]]: number is missing, expected a regular expression; numbers in line 2 is an unknown key: is number meant?",
        ),
        (
            "[[trunk]]\nname = \"agents\"",
            "sottovoce.toml:2: [[trunk]] name: expected a name of letters",
        ),
        (
            "[[trunk]]\nname = \"a\"\npeers = [\"10.0.0.0/99\"]",
            "sottovoce.toml:3: [[trunk]] peers: expected a list of source addresses",
        ),
        (
            "[[trunk]]\nname = \"a\"\npeers = [\"10.0.0.1\"]\nuri = \"http://x\"",
            "sottovoce.toml:4: [[trunk]] uri: expected a SIP URI such as \"sip:192.0.2.7:5060\", found \"http://x\"",
        ),
        (
            "[[trunk]]\nname = \"a\"\npeers = [\"10.0.0.1\"]\nuri = \"sip:x\"\npassword = \"hidden\"",
            "sottovoce.toml:5: [[trunk]] password: expected username beside password",
        ),
        (
            "[[trunk]]\nname = \"a\"\npeers = [\"10.0.0.1\"]\nuri = \"sip:x\"\n[[trunk]]\nname = \"a\"",
            "sottovoce.toml:6: [[trunk]] name: expected a name that no other trunk has, found \"a\"",
        ),
        (
            "[[trunk]]\nname = \"a\"\npeers = [\"10.0.0.1\"]\nuri = \"sip:x\"\n[[trunk]]\nname = \"b\"\npeers = [\"10.0.0.1\"]",
            "sottovoce.toml:7: [[trunk]] peers: expected an address that is not yet a peer of trunk \"a\"",
        ),
        (
            "[[route]]\nnumber = \"^(\"\nto = \"agent\"",
            "sottovoce.toml:2: [[route]] number: expected a regular expression, unclosed group",
        ),
        (
            "[[route]]\nnumber = \"^2$\"\nto = \"trunk:no\"",
            "sottovoce.toml:3: [[route]] to: expected the name of a [[trunk]] of this file, found \"trunk:no\"",
        ),
        (
            "[[route]]\nnumber = \"^2$\"\nto = \"queue\"",
            "sottovoce.toml:3: [[route]] to: expected \"agent\", \"trunk:NAME\" or \"pool:NAME\", found \"queue\"",
        ),
        (
            "[[route]]\nnumber = \"^2$\"\nfrom = [\"x\"]\nto = \"agent\"",
            "sottovoce.toml:3: [[route]] from: expected a list of \"agents\" and trunks (), found \"x\"",
        ),
        (
            "[[route]]\nto = \"agent\"",
            "sottovoce.toml:1: [[route]]: number is missing",
        ),
        (
            "[route]\nnumber = \"x\"",
            "sottovoce.toml:1: [route]: expected tables that begin with [[route]]",
        ),
        ("rtp = 3", "sottovoce.toml:1: rtp: expected the table [rtp]"),
        ("[rtp]\nports = ", "sottovoce.toml:2: "),
        (
            "[rtp]\nio = \"auto\"\nio = \"auto\"",
            "sottovoce.toml:3: duplicate key",
        ),
        (
            "[sip]\ndomain = \"${NOT_SET}\"",
            "sottovoce.toml:2: [sip] domain: expected the environment variable NOT_SET to be set",
        ),
    ];

    for (text, expected) in table {
        let refusal = refusal(text);
        assert!(
            refusal.starts_with(expected),
            "{text}\n  said     {refusal}\n  expected {expected}"
        );
    }
}

#[test]
fn no_refusal_repeats_a_secret() {
    for text in [
        "[database]\nurl = \"mysql://x:secret@y\"",
        "[[trunk]]\nname = \"a\"\npeers = [\"10.0.0.1\"]\nuri = \"sip:x\"\npassword = \"secret\"",
    ] {
        assert!(!refusal(text).contains("secret"));
    }
    let config = read(EXAMPLE).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn a_source_belongs_to_the_trunk_that_names_it_most_closely() {
    let config = read(EXAMPLE).unwrap();
    let trunk = |ip: &str| {
        let ip: IpAddr = ip.parse().unwrap();
        config.trunk_of(ip).map(|trunk| trunk.name.as_str())
    };

    assert_eq!(trunk("127.0.0.2"), Some("carrier"));
    assert_eq!(trunk("::ffff:127.0.0.2"), Some("carrier"));
    assert_eq!(trunk("127.9.0.2"), Some("pbx"));
    assert_eq!(trunk("10.0.0.1"), None);
}

#[test]
fn the_fault_point_is_armed_by_the_environment_alone() {
    let armed = |value: &'static str| {
        Config::parse(Path::new("x.toml"), "", &move |name| {
            (name == "SOTTOVOCE_FAULT").then(|| value.to_owned())
        })
    };

    assert!(!read("").unwrap().settings.fault_conference_join);
    assert!(
        armed("conference-join")
            .unwrap()
            .settings
            .fault_conference_join
    );
    assert_eq!(
        armed("flood").unwrap_err().to_string(),
        "SOTTOVOCE_FAULT: expected conference-join, found \"flood\""
    );
}

#[test]
fn the_share_folder_is_looked_for_beside_the_file_and_then_in_the_working_folder() {
    // Tests run in the folder of the project, which is a share folder.
    let written = read("[node]\nshare = \".\"").unwrap();
    let project = env!("CARGO_MANIFEST_DIR");
    let path = Path::new(project).join("sottovoce.toml");
    let beside = Config::parse(&path, "", &environment).unwrap();

    assert_eq!(written.node.share, PathBuf::from("."));
    assert_eq!(beside.node.share, PathBuf::from(project));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Some(Path::new("/nowhere/s.toml"))).unwrap_err();

    assert!(error.to_string().starts_with("/nowhere/s.toml: "));
}
