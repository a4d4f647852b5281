//! A small HTTP client: one who is signed in, or nobody.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sottovoce::demo::service::Service;
use sottovoce::edge::clock;

/// A busy machine is given this long.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// How somebody shows who they are.
#[derive(Clone, Debug)]
enum Proof {
    Nothing,
    Bearer(String),
    Cookie { cookie: String, csrf: String },
}

#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    proof: Proof,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Client {
    pub fn nobody(service: &Service) -> Self {
        // Another test may have been first; there is one for the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            base: format!("http://{}", service.http),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            proof: Proof::Nothing,
        }
    }

    /// Signs in, and comes with the bearer token from then on.
    pub async fn sign_in(service: &Service, user: &str, password: &str) -> Self {
        let mut client = Self::nobody(service);
        let (body, _) = client.login(user, password).await;
        client.proof = Proof::Bearer(text_of(&body["token"]));
        client
    }

    /// Signs in as a browser does: with the cookie, and the CSRF token on writes.
    pub async fn browser(service: &Service, user: &str, password: &str) -> Self {
        let mut client = Self::nobody(service);
        let (body, cookie) = client.login(user, password).await;
        client.proof = Proof::Cookie {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            csrf: text_of(&body["csrf_token"]),
        };
        client
    }

    async fn login(&self, user: &str, password: &str) -> (Value, String) {
        let body = json!({"user": user, "password": password});
        let answer = self.post("/api/v1/login", body).await;
        let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
        (answer.expect(200), cookie)
    }

    /// The bearer token, for other programs.
    pub fn token(&self) -> Option<&str> {
        match &self.proof {
            Proof::Bearer(token) => Some(token),
            Proof::Nothing | Proof::Cookie { .. } => None,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// Asks until the answer is as wanted, and yields it: what is shown follows what happened on a
    /// telephone by some milliseconds.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let gives_up = clock::now() + PATIENCE;
        loop {
            let seen = self.get(path).await.expect(200);
            if wanted(&seen) {
                return seen;
            }
            assert!(clock::now() < gives_up, "{path} stays at {seen}");
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Option<Value>) -> Answer {
        self.send(Method::PUT, path, body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path, body).build().unwrap();
        self.execute(request).await
    }

    /// Sends a request as it stands. The body of an event stream is not waited for.
    pub async fn execute(&self, request: reqwest::Request) -> Answer {
        let response = self.http.execute(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let kind = headers.get("content-type");
        let endless = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let text = match endless {
            true => String::new(),
            false => response.text().await.unwrap(),
        };
        Answer {
            status,
            headers,
            text,
        }
    }

    /// A request that is not sent yet, for what the methods above cannot.
    pub fn request(&self, method: Method, path: &str, body: Option<Value>) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        match &self.proof {
            Proof::Nothing => {}
            Proof::Bearer(token) => {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            Proof::Cookie { cookie, csrf } => {
                request = request
                    .header("Cookie", cookie)
                    .header("X-CSRF-Token", csrf);
            }
        }
        if let Some(body) = body {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        request
    }
}

impl Answer {
    /// The JSON of an answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        match self.text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&self.text).unwrap(),
        }
    }

    /// Refused in the one form, with this status and code.
    #[track_caller]
    pub fn expect_code(&self, status: u16, code: u16) {
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{}", self.text);
        assert!(
            body["error"].is_string() && body["text"].is_string(),
            "{body}"
        );
    }
}

pub fn text_of(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}
