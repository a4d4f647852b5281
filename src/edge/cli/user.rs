//! `user add` and `user passwd`.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{bail, ensure};

use crate::edge::cli::open;
use crate::edge::clock;
use crate::edge::config::Config;
use crate::edge::people::MIN_PASSWORD;
use crate::edge::store::users::Added;

/// Makes an administrator.
pub async fn add(config: &Config, name: &str, out: &mut impl Write) -> anyhow::Result<()> {
    let fits = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.@".contains(&b));
    ensure!(
        fits,
        "{name:?}: expected a name of letters, digits, '-', '_', '.' or '@'"
    );
    let password = ask_password()?;
    let store = open(config).await?;
    let added = store
        .add_administrator(name, &password, clock::utc_ms())
        .await;
    store.close().await;
    match added? {
        Added::Made => {}
        Added::Exists => bail!(
            "there is an administrator {name} already; `sottovoce user passwd` sets the password"
        ),
        Added::Namesake(somebody) => {
            bail!("{name:?}: expected a name that nobody else signs in with; {somebody} does")
        }
    }
    writeln!(out, "created administrator {name}")?;
    Ok(())
}

/// Sets a password.
pub async fn passwd(
    config: &Config,
    organisation: Option<&str>,
    name: &str,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let password = ask_password()?;
    let store = open(config).await?;
    let (whom, found) = match organisation {
        Some(organisation) => (
            format!("supervisor {organisation}/{name}"),
            store
                .set_supervisor_password(organisation, name, &password, clock::utc_ms())
                .await,
        ),
        None => (
            format!("administrator {name}"),
            store
                .set_administrator_password(name, &password, clock::utc_ms())
                .await,
        ),
    };
    store.close().await;
    ensure!(found?, "there is no {whom}");
    writeln!(out, "changed {whom}: password")?;
    Ok(())
}

/// Asked for twice on a terminal; else the first line of standard input.
fn ask_password() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let password = if stdin.is_terminal() {
        let password = rpassword::prompt_password("Password: ")?;
        ensure!(
            rpassword::prompt_password("Again: ")? == password,
            "the two are not the same"
        );
        password
    } else {
        let mut line = String::new();
        stdin.lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    let found = password.chars().count();
    ensure!(
        found >= MIN_PASSWORD,
        "expected a password of at least {MIN_PASSWORD} characters, found {found}"
    );
    Ok(password)
}
