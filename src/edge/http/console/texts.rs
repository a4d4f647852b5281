//! The words of the console, in every language that it speaks: `texts/console.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::{HeaderMap, header};

/// The cookie that keeps a chosen language.
pub const LANGUAGE_COOKIE: &str = "sottovoce_language";

static TEXTS: LazyLock<BTreeMap<String, [String; 3]>> =
    LazyLock::new(|| read(include_str!("../../../../texts/console.toml")));

/// A language of the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tongue {
    #[default]
    English,
    Finnish,
    Spanish,
}

impl Tongue {
    pub const ALL: [Self; 3] = [Self::English, Self::Finnish, Self::Spanish];

    /// ISO 639-1.
    pub fn code(self) -> &'static str {
        match self {
            Tongue::English => "en",
            Tongue::Finnish => "fi",
            Tongue::Spanish => "es",
        }
    }

    /// What its speakers call it.
    pub fn name(self) -> &'static str {
        match self {
            Tongue::English => "English",
            Tongue::Finnish => "Suomi",
            Tongue::Spanish => "Español",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tongue| tongue.code() == code)
    }

    /// The language chosen with the switch, else the one that the browser likes best.
    pub fn of(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter();
        let chosen = cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == LANGUAGE_COOKIE)
            .and_then(|(_, code)| Self::from_code(code));
        let accepted = headers.get(header::ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|value| value.to_str().ok());
        chosen
            .or_else(|| accepted.and_then(Self::accepted))
            .unwrap_or_default()
    }

    /// The best of `Accept-Language` (RFC 9110 §12.5.4); between equals the first.
    fn accepted(text: &str) -> Option<Self> {
        let mut best: Option<(f32, Self)> = None;
        for range in text.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let primary = tag.split('-').next().unwrap_or_default();
            let quality = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
            let Some(tongue) = Self::from_code(&primary.to_ascii_lowercase()) else {
                continue;
            };
            if quality > best.map_or(0.0, |(quality, _)| quality) {
                best = Some((quality, tongue));
            }
        }
        best.map(|(_, tongue)| tongue)
    }

    /// The text of a key; the key itself where there is none, which a test keeps from happening.
    pub fn text(self, key: &str) -> &'static str {
        match TEXTS.get(key) {
            Some(texts) => &texts[self as usize],
            None => "",
        }
    }

    /// A text with its braces filled in.
    pub fn fill(self, key: &str, values: &[(&str, &str)]) -> String {
        let mut text = self.text(key).to_owned();
        for (name, value) in values {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }
}

/// `section.key` → its texts, in the order of [`Tongue::ALL`].
fn read(text: &str) -> BTreeMap<String, [String; 3]> {
    // The file is part of the program; that it can be read is tested.
    let sections: toml::Table = text.parse().unwrap_or_default();
    let mut texts = BTreeMap::new();
    for (section, keys) in &sections {
        for (key, languages) in keys.as_table().into_iter().flatten() {
            let text = |tongue: Tongue| {
                let text = languages.get(tongue.code()).and_then(toml::Value::as_str);
                text.unwrap_or_default().to_owned()
            };
            texts.insert(format!("{section}.{key}"), Tongue::ALL.map(text));
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use regex::Regex;

    #[test]
    fn every_key_has_a_text_in_every_language_with_the_same_braces() {
        let braces = Regex::new(r"\{\w+\}").unwrap();
        let braces = |text: &str| -> BTreeSet<String> {
            braces
                .find_iter(text)
                .map(|found| found.as_str().to_owned())
                .collect()
        };

        assert!(TEXTS.len() > 200, "{} keys were read", TEXTS.len());
        for (key, texts) in TEXTS.iter() {
            for (tongue, text) in Tongue::ALL.into_iter().zip(texts) {
                assert!(!text.trim().is_empty(), "{key} has no {}", tongue.code());
                assert_eq!(
                    braces(text),
                    braces(&texts[0]),
                    "{key} in {}",
                    tongue.code()
                );
            }
        }
    }

    #[test]
    fn pages_and_code_use_only_keys_that_are_there() {
        let used =
            Regex::new(r#"(?:\bt|fill|text|label|say)\(\s*"([a-z_]+\.[a-z0-9_]+)""#).unwrap();

        let mut count = 0;
        for (path, text) in sources() {
            for found in used.captures_iter(&text) {
                let key = &found[1];
                count += 1;
                assert!(TEXTS.contains_key(key), "{}: {key}", path.display());
            }
        }
        assert!(count > 100, "{count} uses of keys were found");
    }

    #[test]
    fn every_key_is_used() {
        let all: String = sources().into_iter().map(|(_, text)| text).collect();
        let script = include_str!("../../../../assets/console.js");
        // Families whose last part is put together where they are used.
        let families = [
            "presence.",
            "tag.",
            "monitoring.hears_",
            "monitoring.",
            "help.",
            "desk.",
            "action.",
            "script.",
            "audit.action_",
            "audit.detail_",
            "audit.kind_",
            "audit.outcome_",
            "audit.source_",
            "reports.",
        ];

        for key in TEXTS.keys() {
            let short = key.split_once('.').map_or("", |(_, short)| short);
            let whole = all.contains(&format!("\"{key}\""));
            let scripted = key.starts_with("script.")
                && (script.contains(&format!("'{short}'"))
                    || short.starts_with("code_")
                    || short.starts_with("error_"));
            let family = families.iter().any(|family| key.starts_with(family))
                && all.contains(&format!("\"{}", key.split('.').next().unwrap_or_default()));
            assert!(whole || scripted || family, "{key} is used nowhere");
        }
    }

    #[test]
    fn templates_hold_no_words_of_their_own() {
        let expression = Regex::new(r"(?s)\{\{.*?\}\}|\{%.*?%\}").unwrap();
        let icons = Regex::new(r"(?s)<symbol.*?</symbol>").unwrap();
        let spoken =
            Regex::new(r#"(?:aria-label|title|alt|placeholder|data-sure|data-done)="([^"]*)""#)
                .unwrap();
        let element = Regex::new(r"(?s)<[^>]*>").unwrap();

        for (path, text) in sources() {
            if path.extension().is_none_or(|extension| extension != "html") {
                continue;
            }
            let bare = expression.replace_all(&text, "");
            let bare = icons.replace_all(&bare, "");
            for found in spoken.captures_iter(&bare) {
                let value = &found[1];
                assert!(
                    !value.contains(char::is_alphabetic),
                    "{}: {value}",
                    path.display()
                );
            }
            let words = element.replace_all(&bare, "");
            assert!(
                !words.contains(char::is_alphabetic),
                "{}: {}",
                path.display(),
                words.trim()
            );
        }
    }

    #[test]
    fn the_switch_goes_before_the_browser_and_the_browser_before_english() {
        let headers = |pairs: &[(header::HeaderName, &'static str)]| -> HeaderMap {
            let pairs = pairs.iter().cloned();
            pairs
                .map(|(name, value)| (name, value.parse().unwrap()))
                .collect()
        };
        let chosen = (header::COOKIE, "a=b; sottovoce_language=es");
        let liked = (header::ACCEPT_LANGUAGE, "sv, fi-FI;q=0.9, en;q=0.8");

        assert_eq!(
            Tongue::of(&headers(&[chosen, liked.clone()])),
            Tongue::Spanish
        );
        assert_eq!(Tongue::of(&headers(&[liked])), Tongue::Finnish);
        assert_eq!(
            Tongue::of(&headers(&[(header::ACCEPT_LANGUAGE, "sv;q=x")])),
            Tongue::English
        );
        assert_eq!(Tongue::of(&HeaderMap::new()), Tongue::English);
    }

    /// Templates, and the code of the console.
    fn sources() -> Vec<(PathBuf, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        let mut folders = vec![root.join("templates"), root.join("src/edge/http/console")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name != "texts.rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    found.push((path, text));
                }
            }
        }
        found
    }
}
