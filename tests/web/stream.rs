//! A reader of the stream of events, who takes it apart by the standard and by nothing of ours.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::client::Client;

/// A busy machine is given this long for an event to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// One event as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub id: u64,
    pub name: String,
    pub data: Value,
}

pub struct Stream {
    response: reqwest::Response,
    text: String,
    /// The last id that was read, of an event or alone.
    pub last_id: u64,
}

impl Stream {
    pub async fn open(client: &Client) -> Self {
        Self::open_after(client, None).await
    }

    /// Reads on behind this id, and waits for the greeting: from here on nothing is missed.
    pub async fn open_after(client: &Client, id: Option<&str>) -> Self {
        let mut request = client.request(Method::GET, "/api/v1/events", None);
        if let Some(id) = id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self {
            response,
            text: String::new(),
            last_id: id.and_then(|id| id.parse().ok()).unwrap_or_default(),
        };
        while stream.text.is_empty() {
            assert!(stream.read().await, "a greeting");
        }
        stream
    }

    /// The next event; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if let Some(told) = self.take_apart(&block) {
                    return Some(told);
                }
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// The next event of this name; what comes before it is read over.
    pub async fn next_named(&mut self, name: &str) -> Told {
        loop {
            let told = self.next().await;
            let told = told.unwrap_or_else(|| panic!("the stream ended before {name}"));
            if told.name == name {
                return told;
            }
        }
    }

    /// Everything up to and with the first event that is wanted.
    pub async fn until(&mut self, wanted: impl Fn(&Told) -> bool) -> Vec<Told> {
        let mut all = Vec::new();
        loop {
            let told = self.next().await.expect("the stream goes on");
            let last = wanted(&told);
            all.push(told);
            if last {
                return all;
            }
        }
    }

    async fn read(&mut self) -> bool {
        let chunk = tokio::time::timeout(PATIENCE, self.response.chunk());
        // A stream may end in the middle of nothing when its server goes.
        match chunk.await.expect("something to read") {
            Ok(Some(bytes)) => {
                self.text += std::str::from_utf8(&bytes).unwrap();
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    fn take_apart(&mut self, block: &str) -> Option<Told> {
        let (mut name, mut data) = ("message".to_owned(), Vec::new());
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.last_id = value.parse().unwrap(),
                "event" => name = value.to_owned(),
                "data" => data.push(value),
                _ => {}
            }
        }
        if data.is_empty() {
            return None;
        }
        Some(Told {
            id: self.last_id,
            name,
            data: serde_json::from_str(&data.join("\n")).unwrap(),
        })
    }
}
