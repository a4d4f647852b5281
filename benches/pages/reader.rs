//! Somebody who reads pages as a browser does, compressed, and keeps the time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::{Method, Response};
use sottovoce::demo::service::Service;

use crate::client::Client;
use crate::people::{ADMINISTRATOR, COMER, PASSWORD, SUPERVISOR};
use crate::{Asked, share};

/// What a page loads, by what stands before its address.
const LOADS: [&str; 3] = [
    "rel=\"icon\" href=\"",
    "rel=\"stylesheet\" href=\"",
    "src=\"",
];

/// What was measured of a page.
pub struct Page {
    pub who: &'static str,
    pub name: &'static str,
    /// From asking to the last byte, sorted.
    pub times: Vec<Duration>,
    /// As it is written, and as it is on its way.
    pub bytes: usize,
    pub sent: usize,
    /// On the way, with sheet, script and icon.
    pub weight: usize,
}

impl Page {
    pub fn at(&self, part: f64) -> Duration {
        share(&self.times, part)
    }
}

/// Every page of everybody's.
pub async fn read_all(service: &Service, asked: Asked) -> anyhow::Result<Vec<Page>> {
    let times = asked.times;
    let boss = Client::sign_in(service, SUPERVISOR, PASSWORD).await;
    let listed = boss.get("/api/v1/calls").await.expect(200);
    let calls = listed["calls"].as_array().context("calls")?;
    ensure!(
        calls.len() == asked.plan.calls,
        "{} calls are listed of {}",
        calls.len(),
        asked.plan.calls
    );
    let one = calls[asked.plan.calls / 2]["id"].as_str();
    let mut pages = vec![
        measure(&boss, "supervisor", "/", None, times).await?,
        Page {
            name: "/, one row",
            ..measure(&boss, "supervisor", "/", one, times).await?
        },
    ];
    for path in ["/agents", "/supervising", "/help", "/audit", "/reports"] {
        pages.push(measure(&boss, "supervisor", path, None, times).await?);
    }
    let agent = Client::sign_in(service, COMER, PASSWORD).await;
    pages.push(measure(&agent, "agent", "/", None, times).await?);
    let root = Client::sign_in(service, ADMINISTRATOR, PASSWORD).await;
    for path in ["/people", "/contacts", "/webhooks", "/audit", "/reports"] {
        pages.push(measure(&root, "administrator", path, None, times).await?);
    }
    Ok(pages)
}

async fn measure(
    client: &Client,
    who: &'static str,
    path: &'static str,
    row: Option<&str>,
    times: usize,
) -> anyhow::Result<Page> {
    let mut taken = Vec::with_capacity(times);
    let mut sent = 0;
    for _ in 0..times {
        let began = Instant::now();
        let answer = ask(client, path, row, "gzip").await?;
        sent = answer.bytes().await?.len();
        taken.push(began.elapsed());
    }
    taken.sort();
    let text = ask(client, path, row, "identity").await?.text().await?;
    ensure!(text.trim_end().ends_with("</html>"), "{path} is no page");
    let mut weight = sent;
    for before in LOADS {
        let after = text.split(before).nth(1);
        let loaded = after.and_then(|rest| rest.split('"').next());
        let loaded = loaded.with_context(|| format!("{path} loads nothing by {before}"))?;
        weight += ask(client, loaded, None, "gzip")
            .await?
            .bytes()
            .await?
            .len();
    }
    Ok(Page {
        who,
        name: path,
        times: taken,
        bytes: text.len(),
        sent,
        weight,
    })
}

/// An answer with status 200, whose body is yet to come; of the list of calls with one row alone,
/// where one is named.
pub async fn ask(
    client: &Client,
    path: &str,
    row: Option<&str>,
    encoding: &str,
) -> anyhow::Result<Response> {
    let mut request = client
        .request(Method::GET, path, None)
        .header("Accept", "text/html")
        .header("Accept-Encoding", encoding);
    if let Some(row) = row {
        request = request.header("X-Rows", row);
    }
    let answer = request.send().await?;
    ensure!(answer.status() == 200, "{path}: {}", answer.status());
    Ok(answer)
}
