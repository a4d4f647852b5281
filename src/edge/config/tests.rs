//! What sottovoce.toml means, and what is said about one that cannot work.

mod refused;

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
