use super::*;

fn nothing(_: &str) -> Option<String> {
    None
}

fn read(text: &str) -> Table {
    parse("a.toml", text, &nothing).unwrap()
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_with_its_line_and_key() {
    let mut root = read("\n[rtp]\n# ports\nthreads = \"two\"\n");
    let mut rtp = root.table("rtp").unwrap();

    let complaint = rtp.take("threads").unwrap().integer(0..=64).unwrap_err();

    assert_eq!(
        complaint.to_string(),
        "a.toml:4: [rtp] threads: expected a whole number from 0 to 64, found \"two\""
    );
}

#[test]
fn an_unknown_key_is_refused_with_those_that_are_known() {
    let mut root = read("[sip.tls]\ncert = \"c\"\nkee = \"k\"\n");
    let mut tls = root.table("sip").unwrap().table("tls").unwrap();
    tls.take("cert");
    tls.take("key");

    assert_eq!(
        tls.finish().unwrap_err().to_string(),
        "a.toml:3: [sip.tls] kee: unknown key, expected one of cert, key; is key meant?"
    );
}

#[test]
fn an_unknown_table_is_refused() {
    let mut root = read("[node]\n[snip]\n");
    root.take("node");
    root.take("sip");

    assert_eq!(
        root.finish().unwrap_err().to_string(),
        "a.toml:2: [snip]: unknown table, expected one of node, sip; is sip meant?"
    );
}

#[test]
fn each_of_repeated_tables_has_its_own_line() {
    let mut root = read("[[trunk]]\nname = \"a\"\n\n[[trunk]]\nname = 3\n");
    let trunks = root.tables("trunk").unwrap();

    assert_eq!(
        trunks.iter().map(|it| it.place.line).collect::<Vec<_>>(),
        [1, 4],
        "the lines of the headers"
    );
    let complaint = trunks
        .into_iter()
        .nth(1)
        .unwrap()
        .require("name", "a name")
        .unwrap()
        .text("a name")
        .unwrap_err();
    assert_eq!(
        complaint.to_string(),
        "a.toml:5: [[trunk]] name: expected a name, found 3"
    );
}

#[test]
fn a_missing_key_is_named() {
    let mut root = read("x = 1\n[[trunk]]\n");
    let trunk = &mut root.tables("trunk").unwrap()[0];

    assert_eq!(
        trunk.require("uri", "a SIP URI").unwrap_err().to_string(),
        "a.toml:2: [[trunk]]: uri is missing, expected a SIP URI"
    );
}

#[test]
fn a_key_that_is_misspelt_is_named_where_it_is_missed() {
    let missing = |text: &str| {
        let mut root = read(text);
        let agent = &mut root.tables("agent").unwrap()[0];
        agent.declare(&["extension", "name", "pools"]);
        agent.take("extension");
        agent.require("name", "a name").unwrap_err().to_string()
    };

    assert_eq!(
        missing("[[agent]]\nextension = \"204\"\npools = []\nnam = \"Aino\"\n"),
        "a.toml:1: [[agent]]: name is missing, expected a name; \
         nam in line 4 is an unknown key: is name meant?"
    );
    assert_eq!(
        missing("[[agent]]\ncolour = \"red\"\nnmae = \"Aino\"\n"),
        "a.toml:1: [[agent]]: name is missing, expected a name; \
         nmae in line 3 is an unknown key: is name meant?"
    );
    assert_eq!(
        missing("[[agent]]\ncolour = \"red\"\n"),
        "a.toml:1: [[agent]]: name is missing, expected a name; \
         colour in line 2 is an unknown key, expected one of extension, name, pools"
    );
    assert_eq!(
        missing("[[agent]]\npools = []\n"),
        "a.toml:1: [[agent]]: name is missing, expected a name"
    );
}

#[test]
fn a_key_is_meant_when_a_third_of_it_at_most_is_wrong() {
    for (written, known) in [
        ("nam", "name"),
        ("nmae", "name"),
        ("pasword", "password"),
        ("organization", "organisation"),
        ("user_name", "username"),
    ] {
        assert!(is_like(written, known), "{written} {known}");
    }
    for (written, known) in [("pin", "uri"), ("to", "url"), ("name", "name"), ("x", "y")] {
        assert!(!is_like(written, known), "{written} {known}");
    }
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    let complaint = parse("a.toml", "[rtp]\nports = \n", &nothing).unwrap_err();

    assert!(
        complaint.to_string().starts_with("a.toml:2: "),
        "{complaint}"
    );
}

#[test]
fn variables_are_replaced_and_never_shown() {
    let lookup = |name: &str| (name == "PW").then(|| "s3cret".to_owned());
    let mut root = parse("a.toml", "a = \"x${PW}y\"\nb = \"^\\\\d${\"\n", &lookup).unwrap();

    let a = root.take("a").unwrap();
    let b = root.take("b").unwrap();

    assert_eq!(a.text("").unwrap(), "xs3crety");
    assert_eq!(
        a.expected("less").to_string(),
        "a.toml:1: a: expected less, found \"x${PW}y\""
    );
    assert_eq!(b.text("").unwrap(), "^\\d${");
}

#[test]
fn a_variable_that_is_not_set_is_refused() {
    let complaint = parse("a.toml", "\na = \"${PW}\"\n", &nothing).unwrap_err();

    assert_eq!(
        complaint.to_string(),
        "a.toml:2: a: expected the environment variable PW to be set"
    );
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let alphabet = b"[]{}=\"'#.\n$a1-_, \\\xc3\xa9";
    for _ in 0..5_000 {
        let bytes: Vec<u8> = (0..random.usize(0..60))
            .map(|_| alphabet[random.usize(0..alphabet.len())])
            .collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let _ = parse("a.toml", &text, &nothing);
    }
}
