//! The examples of `deploy/` are what the product reads.

use std::fs;
use std::path::{Path, PathBuf};

use sottovoce::edge::config::{Config, DatabaseUrl};
use sottovoce::edge::people::People;

/// Every `${NAME}` of the examples has a value that each of their keys accepts.
fn environment(name: &str) -> Option<String> {
    let value = match name.ends_with("_PASSWORD") {
        true => "long enough",
        false => "471147",
    };
    (name != "SOTTOVOCE_FAULT").then(|| value.to_owned())
}

#[test]
fn the_example_configuration_is_accepted() {
    let (path, text) = example("sottovoce.toml");

    let config = Config::parse(&path, &text, &environment).unwrap();

    assert_eq!(
        config.database,
        DatabaseUrl::Sqlite("/var/lib/sottovoce/sottovoce.db".into())
    );
    assert_eq!(config.trunks.len(), 2);
    assert_eq!(config.settings.routes.len(), 3);
}

#[test]
fn what_the_example_configuration_comments_out_as_a_default_is_one() {
    let (path, text) = example("sottovoce.toml");
    // Lines such as `# speaking = "one"   # what it means`, but for those with a value of one's own.
    let spoken: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key)
                if key.contains(" = ")
                    && !["share", "advertise", "tls", "url", "username", "password"]
                        .iter()
                        .any(|own| key.starts_with(own)) =>
            {
                key
            }
            Some(table) if table.starts_with("[supervising.codes]") => table,
            _ => line,
        })
        .collect();

    let bare = Config::parse(&path, &text, &environment).unwrap();
    let mut full = Config::parse(&path, &spoken.join("\n"), &environment).unwrap();
    // Where a value stands is no part of it.
    full.places.rtp_io = bare.places.rtp_io.clone();

    assert_ne!(spoken.join("\n"), text.trim_end());
    assert_eq!(format!("{full:?}"), format!("{bare:?}"));
}

#[test]
fn the_example_people_are_accepted() {
    let (path, text) = example("people.toml");

    let people = People::parse(&path.to_string_lossy(), &text, &environment).unwrap();

    assert_eq!(people.organisations.len(), 1);
    assert_eq!(people.organisations["acme"].agents.len(), 2);
}

fn example(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name);
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}
