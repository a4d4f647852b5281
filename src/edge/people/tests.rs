//! What people.toml means, and what is said about one that cannot be applied.

use crate::control::directory::AgentNotice;
use crate::edge::people::People;
use crate::wire::document::Complaint;

const EXAMPLE: &str = r#"
[[organisation]]
id = "acme"
name = "Acme"
supervising_numbers = ["800"]
supervision = true

[[pool]]
organisation = "acme"
name = "support"
agent_notice = "silent"

[[agent]]
organisation = "acme"
extension = "204"
name = "Aino"
pools = ["support"]
contact = "sip:204@127.0.0.3:5060"

[[supervisor]]
organisation = "acme"
user = "mia"
name = "Mia"
phone = "040 123 4567"
default_country = "FI"
devices = ["sip:mia@127.0.0.3:5060", "+358401234567", "301"]
agent = "204"
sip_password = "soft"
pin = "4711"
password = "hunter2hunter2"
pools = ["support"]
may = ["monitor", "coach", "whisper_caller", "barge", "takeover", "hang_up"]
language = "en"
"#;

fn read(text: &str) -> Result<People, Complaint> {
    People::parse("people.toml", text, &|_| None)
}

#[test]
fn the_example_of_the_manual_is_understood_whole() {
    let people = read(EXAMPLE).unwrap();

    let acme = &people.organisations["acme"];
    assert!(acme.supervision && !acme.help_keys);
    assert_eq!(acme.supervising_numbers, ["800"]);
    assert_eq!(
        acme.pools["support"].agent_notice,
        Some(AgentNotice::Silent)
    );
    assert_eq!(acme.agents["204"].pools, ["support"]);
    let mia = &acme.supervisors["mia"];
    assert_eq!(mia.phone, "+358401234567");
    assert_eq!(
        mia.devices,
        ["sip:mia@127.0.0.3:5060", "+358401234567", "301"]
    );
    assert_eq!(mia.agent.as_deref(), Some("204"));
    assert!(mia.may.takeover && mia.may.whisper_caller);
}

#[test]
fn a_new_organisation_is_not_supervised_and_a_new_supervisor_may_nothing() {
    let people = read(
        "[[organisation]]\nid = \"a\"\nname = \"A\"\n\
         [[supervisor]]\norganisation = \"a\"\nuser = \"u\"\nname = \"U\"\nphone = \"+358401234567\"",
    )
    .unwrap();

    let a = &people.organisations["a"];
    assert!(!a.supervision);
    assert_eq!(a.supervisors["u"].may, Default::default());
}

#[test]
fn what_cannot_be_applied_is_refused_with_line_and_expectation() {
    let acme =
        "[[organisation]]\nid = \"acme\"\nname = \"Acme\"\nsupervising_numbers = [\"800\"]\n";
    let agent = "[[agent]]\norganisation = \"acme\"\nextension = \"204\"\nname = \"A\"\n";
    let mia = "[[supervisor]]\norganisation = \"acme\"\nuser = \"mia\"\nname = \"Mia\"\n";
    let phone = "phone = \"+358401234567\"\n";
    let join = |parts: &[&str]| parts.concat();
    let table = [
        (
            "[[organisation]]\nname = \"x\"".to_owned(),
            "people.toml:1: [[organisation]]: id is missing, expected a name of letters",
        ),
        (
            join(&[
                acme,
                "[[agent]]\norganisation = \"acme\"\nextension = \"204\"\nnam = \"A\"\n",
            ]),
            "people.toml:5: [[agent]]: name is missing, expected a name of at most 100 characters, without control characters; nam in line 8 is an unknown key: is name meant?",
        ),
        (
            join(&[acme, "[[pool]]\norganization = \"acme\"\nname = \"x\"\n"]),
            "people.toml:5: [[pool]]: organisation is missing, expected the id of an [[organisation]] of this file; organization in line 6 is an unknown key: is organisation meant?",
        ),
        (
            "[[organisation]]\nid = \"a b\"\nname = \"x\"".to_owned(),
            "people.toml:2: [[organisation]] id: expected a name of letters, digits, '-', '_' or '.', found \"a b\"",
        ),
        (
            join(&[acme, acme]),
            "people.toml:6: [[organisation]] id: expected an id that no other organisation has, found \"acme\"",
        ),
        (
            join(&[
                acme,
                "[[organisation]]\nid = \"b\"\nname = \"B\"\nsupervising_numbers = [\"800\"]",
            ]),
            "people.toml:8: [[organisation]] supervising_numbers: expected a number that is not yet a supervising number, found \"800\"",
        ),
        (
            join(&[acme, "colour = \"red\""]),
            "people.toml:5: [[organisation]] colour: unknown key, expected one of id, name, supervising_numbers, supervision, agent_notice, help_keys",
        ),
        (
            "[[agnet]]\n".to_owned(),
            "people.toml:1: [[agnet]]: unknown table, expected one of organisation, pool, agent, supervisor",
        ),
        (
            join(&[acme, "[[pool]]\norganisation = \"ame\"\nname = \"x\""]),
            "people.toml:6: [[pool]] organisation: expected the id of an [[organisation]] of this file, found \"ame\"",
        ),
        (
            join(&[
                acme,
                "[[pool]]\norganisation = \"acme\"\nname = \"x\"\nagent_notice = \"beep\"",
            ]),
            "people.toml:8: [[pool]] agent_notice: expected \"tone\" or \"silent\", found \"beep\"",
        ),
        (
            join(&[acme, agent, agent]),
            "people.toml:11: [[agent]] extension: expected an extension that no other agent of this node has, found \"204\"",
        ),
        (
            join(&[acme, agent, "pools = [\"x\"]"]),
            "people.toml:9: [[agent]] pools: expected a list of pools of the organisation (), each once, found \"x\"",
        ),
        (
            join(&[acme, agent, "contact = \"204@host\""]),
            "people.toml:9: [[agent]] contact: expected a SIP URI such as \"sip:204@192.0.2.7:5060\", found \"204@host\"",
        ),
        (
            join(&[acme, mia]),
            "people.toml:5: [[supervisor]]: phone is missing, expected the one registered phone, E.164",
        ),
        (
            join(&[acme, mia, "phone = \"0401234567\""]),
            "people.toml:9: [[supervisor]] phone: expected a telephone number such as \"+358401234567\", or a national one beside default_country, found \"0401234567\"",
        ),
        (
            join(&[acme, mia, phone, "default_country = \"Finland\""]),
            "people.toml:10: [[supervisor]] default_country: expected a country such as \"FI\"",
        ),
        (
            join(&[acme, mia, phone, "pin = \"12\""]),
            "people.toml:10: [[supervisor]] pin: expected four to twelve digits",
        ),
        (
            join(&[acme, mia, phone, "agent = \"999\""]),
            "people.toml:10: [[supervisor]] agent: expected the extension of an [[agent]] of the organisation, found \"999\"",
        ),
        (
            join(&[acme, mia, phone, "may = [\"listen\"]"]),
            "people.toml:10: [[supervisor]] may: expected a list of \"monitor\"",
        ),
        (
            join(&[acme, mia, phone, "devices = [\"call me\"]"]),
            "people.toml:10: [[supervisor]] devices: expected a list of SIP URIs and telephone numbers, each once, found \"call me\"",
        ),
        (
            join(&[
                acme,
                mia,
                phone,
                "[[supervisor]]\norganisation = \"acme\"\nuser = \"ann\"\nname = \"Ann\"\n",
                phone,
            ]),
            "people.toml:14: [[supervisor]] phone: expected a number that no other supervisor has",
        ),
        (
            join(&[
                acme,
                "[[agent]]\norganisation = \"acme\"\nextension = \"mia\"\nname = \"A\"\npassword = \"x\"\n",
                mia,
                phone,
                "sip_password = \"y\"",
            ]),
            "people.toml:12: [[supervisor]] user: expected a name under which no other phone of this node registers, found \"mia\"",
        ),
    ];

    for (text, expected) in table {
        let complaint = match read(&text) {
            Ok(_) => panic!("accepted:\n{text}"),
            Err(complaint) => complaint.to_string(),
        };
        assert!(
            complaint.starts_with(expected),
            "{text}\n  said     {complaint}\n  expected {expected}"
        );
    }
}

#[test]
fn a_supervisor_is_spoken_to_in_a_language_that_there_are_prompts_in() {
    let knowing = |languages: &[&str]| People {
        languages: languages.iter().map(ToString::to_string).collect(),
        ..People::default()
    };
    let read = |people: People, text: &str| people.read("people.toml", text, &|_| None);
    let klingon = EXAMPLE.replace("language = \"en\"", "language = \"tlh\"");

    assert!(read(knowing(&["fi", "en"]), EXAMPLE).is_ok());
    let complaint = read(knowing(&["fi", "en"]), &klingon).unwrap_err();
    assert_eq!(
        complaint.to_string(),
        "people.toml:33: [[supervisor]] language: expected a language that there are prompts in (fi, en), found \"tlh\""
    );
    assert!(
        read(knowing(&[]), &klingon).is_ok(),
        "it is not known which there are"
    );
}

#[test]
fn no_complaint_and_no_debug_repeats_a_secret() {
    let complaint = read(&EXAMPLE.replace("4711", "47x11")).unwrap_err();
    assert!(!complaint.to_string().contains("47x11"));

    let people = format!("{:?}", read(EXAMPLE).unwrap());
    assert!(!people.contains("4711") && !people.contains("hunter2") && !people.contains("soft\""));
}
