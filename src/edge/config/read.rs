//! The whole of sottovoce.toml, section by section.

use std::path::{Path, PathBuf};

use crate::control::settings::Settings;
use crate::edge::config::{
    Config, ConfigError, DatabaseUrl, Fault, Node, Places, addresses, keeping, routing, supervising,
};
use crate::wire::document::{self, Complaint, Table};

pub(super) fn config(
    path: &Path,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let base = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut root = document::parse(&path.display().to_string(), text, environment)?;

    let mut places = Places::default();
    let node = node(&mut root, base, &mut places)?;
    let sip = addresses::sip(&mut root, base, &mut places)?;
    let rtp = addresses::rtp(&mut root, &mut places)?;
    let http = addresses::http(&mut root, &mut places)?;
    addresses::nothing_collides(&sip, &rtp, &http, &places)?;
    let database = database(&mut root, base, &node, &mut places)?;

    let mut settings = Settings::default();
    supervising::media(&mut root, &mut settings)?;
    supervising::supervising(&mut root, &mut settings)?;
    let trunks = routing::trunks(&mut root, &mut places)?;
    settings.routes = routing::routes(&mut root, &trunks)?;
    let webhooks = keeping::webhooks(&mut root)?;
    let audit_days = keeping::audit_days(&mut root)?;
    root.finish()?;

    settings.shards = match rtp.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get().min(256) as u16),
        threads => threads as u16,
    };
    settings.fault_conference_join = fault(environment)? == Some(Fault::ConferenceJoin);

    Ok(Config {
        node,
        sip,
        rtp,
        http,
        database,
        trunks,
        webhooks,
        audit_days,
        settings,
        places,
    })
}

fn node(root: &mut Table, base: &Path, places: &mut Places) -> Result<Node, Complaint> {
    let mut table = root.table("node")?;
    let name = match table.take("name") {
        Some(item) => item.filled_text("a name")?.to_owned(),
        None => "node-1".to_owned(),
    };
    let data_dir = match table.take("data_dir") {
        Some(item) => base.join(item.filled_text("the path of a folder")?),
        None => base.join("data"),
    };
    let (share, share_missed) = match table.take("share") {
        Some(item) => {
            let expected = "the folder of prompts/ and error-codes.toml";
            places.share = Some(item.place());
            // Beside the configuration, then the working folder, as where nothing is written.
            let written = Path::new(item.filled_text(expected)?);
            let places = [base.join(written), written.to_owned()];
            let whole = places.iter().find(|path| holds_the_catalogue(path));
            match whole.or(places.iter().find(|path| path.is_dir())) {
                Some(path) => (path.clone(), Vec::new()),
                None => return Err(item.expected(expected)),
            }
        }
        None => found_share(base),
    };
    let language = match table.take("language") {
        Some(item) => {
            let expected = "a language such as \"en\" or \"pt-BR\"";
            places.language = Some(item.place());
            match item.text(expected)? {
                language if is_language(language) => language.to_owned(),
                _ => return Err(item.expected(expected)),
            }
        }
        None => "en".to_owned(),
    };
    table.finish()?;
    Ok(Node {
        name,
        data_dir,
        share,
        share_missed,
        language,
    })
}

fn is_language(tag: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    tag.len() >= 2 && tag.split('-').all(is_part)
}

/// Beside the configuration, then the working folder, then where the program is installed (or
/// was built). Where none of them has it: the first, and all that were looked at.
fn found_share(base: &Path) -> (PathBuf, Vec<PathBuf>) {
    let program = std::env::current_exe().unwrap_or_default();
    let around = program
        .ancestors()
        .skip(1)
        .take(4)
        .flat_map(|folder| [folder.join("share/sottovoce"), folder.to_owned()]);
    let installed = ["/usr/local/share/sottovoce", "/usr/share/sottovoce"].map(PathBuf::from);

    let mut missed = Vec::new();
    for folder in [base.to_owned(), PathBuf::from(".")]
        .into_iter()
        .chain(around)
        .chain(installed)
    {
        if holds_the_catalogue(&folder) {
            return (folder, Vec::new());
        }
        let whole = std::path::absolute(&folder).unwrap_or(folder);
        if !missed.contains(&whole) {
            missed.push(whole);
        }
    }
    (base.to_owned(), missed)
}

fn holds_the_catalogue(folder: &Path) -> bool {
    folder.join("error-codes.toml").is_file()
}

fn database(
    root: &mut Table,
    base: &Path,
    node: &Node,
    places: &mut Places,
) -> Result<DatabaseUrl, Complaint> {
    let expected = "\"sqlite:FILE\" or \"postgres://USER@HOST/DATABASE\"";
    let mut table = root.table("database")?;
    let url = match table.take("url") {
        None => DatabaseUrl::Sqlite(node.data_dir.join("sottovoce.db")),
        Some(item) => {
            let url = item.secret(expected)?;
            places.database = Some(item.place());
            if url.starts_with("postgres://") || url.starts_with("postgresql://") {
                DatabaseUrl::Postgres(url.to_owned())
            } else {
                let file = url.strip_prefix("sqlite:");
                let file = file.map(|file| file.strip_prefix("//").unwrap_or(file));
                match file {
                    Some(file) if !file.is_empty() && !file.starts_with(':') => {
                        DatabaseUrl::Sqlite(base.join(file))
                    }
                    _ => return Err(item.complain(format!("expected {expected}"))),
                }
            }
        }
    };
    table.finish()?;
    Ok(url)
}

fn fault(environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<Fault>, ConfigError> {
    match environment("SOTTOVOCE_FAULT").as_deref() {
        None | Some("") => Ok(None),
        Some("conference-join") => Ok(Some(Fault::ConferenceJoin)),
        Some(other) => Err(ConfigError::Fault(other.to_owned())),
    }
}
