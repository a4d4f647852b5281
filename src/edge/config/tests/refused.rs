//! What cannot work, and what is said of it.

use crate::edge::config::tests::{EXAMPLE, read, refusal};

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
