//! `audit export` and `audit verify`.

use std::io::Write;

use anyhow::ensure;

use crate::edge::cli::{ExportFormat, open};
use crate::edge::config::{Config, DatabaseUrl};
use crate::edge::store::Store;
use crate::edge::store::audit::export::{Export, Form};
use crate::edge::store::audit::{Selection, Verdict};

/// Opens the database that there is: an audit that is not found is not an empty one.
async fn open_kept(config: &Config) -> anyhow::Result<Store> {
    if let DatabaseUrl::Sqlite(path) = &config.database {
        ensure!(
            path.is_file(),
            "{}: there is no database; is this the folder and the configuration of the service?",
            path.display()
        );
    }
    open(config).await
}

/// Prints the chosen rows, a page of them in memory at a time.
pub async fn export(
    config: &Config,
    format: ExportFormat,
    selection: Selection,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let store = open_kept(config).await?;
    let form = match format {
        ExportFormat::Csv => Form::Csv,
        ExportFormat::Json => Form::Json,
    };
    let result = print(&store, selection, form, out).await;
    store.close().await;
    result
}

async fn print(
    store: &Store,
    selection: Selection,
    form: Form,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut export = Export::new(store.clone(), selection, form);
    while let Some(text) = export.next().await? {
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// Checks the chain; whether it is whole.
pub async fn verify(config: &Config, out: &mut impl Write) -> anyhow::Result<bool> {
    let store = open_kept(config).await?;
    let verdict = store.verify_audit().await;
    store.close().await;
    match verdict? {
        Verdict::Intact { rows } => {
            writeln!(out, "intact: {rows} rows")?;
            Ok(true)
        }
        Verdict::Altered { seq, why } => {
            writeln!(out, "altered: row {seq}: {why}")?;
            Ok(false)
        }
    }
}
