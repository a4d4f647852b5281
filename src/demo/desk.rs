//! The supervisor's other screen: what the API says of the session, asked for all the time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::demo::service::Service;
use crate::edge::clock;

/// Between one look and the next: what a role's time is off by, at most.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// A role that is not in force by then is refused.
const LIMIT: Duration = Duration::from_secs(5);

/// Somebody who is signed in.
pub struct Desk {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Desk {
    pub async fn sign_in(service: &Service, user: &str, password: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let base = format!("http://{}/api/v1", service.http);
        let body = json!({ "user": user, "password": password });
        let answer = http
            .post(format!("{base}/login"))
            .header("Content-Type", "application/json")
            .body(body.to_string())
            .send()
            .await?;
        ensure!(answer.status().is_success(), "login: {}", answer.status());
        let answer: Value = serde_json::from_str(&answer.text().await?)?;
        let token = answer["token"].as_str().context("login without a token")?;
        Ok(Self {
            http,
            base,
            token: token.to_owned(),
        })
    }

    /// Waits until one's own session has a role, as the API calls it; when it was seen to have it.
    pub async fn until_role(&self, role: &str) -> anyhow::Result<Instant> {
        let gives_up = clock::now() + LIMIT;
        loop {
            let state = self.state().await?;
            let seen = clock::now();
            if state.as_deref() == Some(role) {
                return Ok(seen);
            }
            if seen >= gives_up {
                bail!("still {}", state.as_deref().unwrap_or("no session"));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn state(&self) -> anyhow::Result<Option<String>> {
        let asked = self.http.get(format!("{}/sessions", self.base));
        let answer = asked.bearer_auth(&self.token).send().await?;
        let answer: Value = serde_json::from_str(&answer.text().await?)?;
        let sessions = answer["sessions"].as_array().into_iter().flatten();
        let mut own = sessions.filter(|session| session["mine"] == true);
        let state = own.next().and_then(|session| session["state"].as_str());
        Ok(state.map(str::to_owned))
    }
}
