//! A receiver of webhooks that does what it is told, and checks signatures by RFC 2104 itself.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

/// What the receiver does with what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    Fails,
    Hangs,
    Redirects,
    Accepts,
}

/// One attempt as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub path: String,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
    /// What the receiver did with it.
    pub manners: Manners,
}

#[derive(Clone)]
pub struct Receiver {
    pub addr: SocketAddr,
    state: Arc<Mutex<Shared>>,
}

struct Shared {
    manners: Manners,
    arrived: Vec<Arrived>,
}

impl Receiver {
    pub async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Shared {
            manners,
            arrived: Vec::new(),
        }));
        let router = Router::new().fallback(take).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { addr, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn behave(&self, manners: Manners) {
        self.state.lock().unwrap().manners = manners;
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.state.lock().unwrap().arrived.clone()
    }

    /// What it took in, in the order in which it did.
    pub fn accepted(&self) -> Vec<Arrived> {
        let all = self.arrived().into_iter();
        all.filter(|arrived| arrived.manners == Manners::Accepts)
            .collect()
    }

    /// How many attempts it met with these manners.
    pub fn met(&self, manners: Manners) -> usize {
        let all = self.arrived().into_iter();
        all.filter(|arrived| arrived.manners == manners).count()
    }
}

async fn take(
    State(state): State<Arc<Mutex<Shared>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap) {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let manners = {
        let mut state = state.lock().unwrap();
        let manners = state.manners;
        state.arrived.push(Arrived {
            path: uri.path().to_owned(),
            headers,
            body: serde_json::from_str(&text).unwrap(),
            text,
            manners,
        });
        manners
    };
    let mut answer = HeaderMap::new();
    let status = match manners {
        Manners::Fails => StatusCode::INTERNAL_SERVER_ERROR,
        Manners::Accepts => StatusCode::NO_CONTENT,
        Manners::Redirects => {
            answer.insert("location", "/elsewhere".parse().unwrap());
            StatusCode::TEMPORARY_REDIRECT
        }
        Manners::Hangs => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            StatusCode::NO_CONTENT
        }
    };
    (status, answer)
}

impl Arrived {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub fn event(&self) -> &str {
        self.body["event"].as_str().unwrap()
    }

    pub fn id(&self) -> u64 {
        self.body["id"].as_u64().unwrap()
    }

    /// Whether it was signed with this secret.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let signed = format!("{}.{}", self.header("x-sottovoce-timestamp"), self.text);
        let expected = format!("v1={}", hmac_sha256(secret.as_bytes(), signed.as_bytes()));
        self.header("x-sottovoce-signature") == expected
    }
}

/// RFC 2104, written out.
fn hmac_sha256(key: &[u8], text: &[u8]) -> String {
    let mut block = [0_u8; 64];
    match key.len() > block.len() {
        true => block[..32].copy_from_slice(&Sha256::digest(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(text)
        .finalize();
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize();
    hex::encode(outer)
}
