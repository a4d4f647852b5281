//! A Chromium without a window, in a profile of its own, driven through chromedriver. Both end with
//! the value.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::http::Method;
use fantoccini::elements::Element;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Url;
use serde_json::{Value, json};
use sottovoce::demo::service::Service;

use crate::processes;

/// What a desktop shows.
pub const DESKTOP: (u32, u32) = (1360, 900);
/// What a telephone shows.
pub const TELEPHONE: (u32, u32) = (390, 844);

/// A busy machine is given this long for what a person would see at once.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Browser {
    pub client: Client,
    driver: Driver,
    home: String,
}

impl Browser {
    /// A browser that speaks this language (a tag such as `en-GB`).
    pub async fn start(service: &Service, language: &str) -> Self {
        Self::at(&format!("http://{}", service.http), language).await
    }

    /// The same, for a console that is there already.
    pub async fn at(home: &str, language: &str) -> Self {
        let profile = Profile::new();
        let driver = tokio::task::block_in_place(|| Driver::start(profile));
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", driver.profile.0.display()),
            &format!("--accept-lang={language}"),
            &format!("--window-size={},{}", DESKTOP.0, DESKTOP.1),
        ];
        let mut capabilities = Capabilities::new();
        capabilities.insert(
            "goog:chromeOptions".to_owned(),
            json!({
                "args": arguments,
                "prefs": { "intl.accept_languages": language },
            }),
        );
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" }));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&driver.address)
            .await
            .expect("chromedriver starts a browser");
        let browser = Self {
            client,
            driver,
            home: home.to_owned(),
        };
        browser.shows(DESKTOP, "light").await;
        browser
    }

    /// A browser in which somebody has signed in.
    pub async fn signed_in(service: &Service, user: &str, password: &str) -> Self {
        let browser = Self::start(service, "en-GB").await;
        browser.sign_in(user, password).await;
        browser
    }

    pub async fn sign_in(&self, user: &str, password: &str) {
        self.open("/sign-in").await;
        self.find("input[name=user]")
            .await
            .send_keys(user)
            .await
            .expect("typing");
        let field = self.find("input[name=password]").await;
        field.send_keys(password).await.expect("typing");
        field.send_keys("\u{e007}").await.expect("Enter");
        self.find("#main").await;
        self.is_live().await;
    }

    /// Opens a page, and waits until it is kept live: from then on it misses no event.
    pub async fn open(&self, path: &str) {
        let address = format!("{}{path}", self.home);
        self.client.goto(&address).await.expect("the page opens");
        self.is_live().await;
    }

    async fn is_live(&self) {
        let live = "document.readyState === 'complete' \
            && (!['supervisor', 'agent'].includes(document.body.dataset.kind) \
            || document.querySelector('#live').dataset.state === 'on')";
        self.until("the page is live", live).await;
    }

    /// The first element of a CSS selector, as soon as there is one.
    pub async fn find(&self, css: &str) -> Element {
        let found = self
            .client
            .wait()
            .at_most(PATIENCE)
            .every(Duration::from_millis(30));
        match found.for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("{css}: {error}; {}", self.text("body").await),
        }
    }

    pub async fn type_into(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.send_keys(text).await.expect("typing");
    }

    pub async fn click(&self, css: &str) {
        self.find(css).await;
        // Before the script has run, a click is nobody's.
        self.until("the page is there", "document.readyState === 'complete'")
            .await;
        // What is patched between finding and clicking is found again.
        for _ in 0..PATIENCE.as_millis() / 50 {
            let clicked = match self.client.find(Locator::Css(css)).await {
                Ok(element) => element.click().await,
                Err(error) => Err(error),
            };
            if clicked.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{css} cannot be clicked; {}", self.text("body").await);
    }

    /// Waits until an expression of the page's script is true.
    pub async fn until(&self, what: &str, expression: &str) {
        let steps = PATIENCE.as_millis() / 50;
        for _ in 0..steps {
            if self.evaluate(expression).await == json!(true) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never came to pass: {what}; {}", self.text("body").await);
    }

    pub async fn until_gone(&self, css: &str) {
        let expression = format!("!document.querySelector({})", json!(css));
        self.until(&format!("{css} is gone"), &expression).await;
    }

    pub async fn until_text(&self, css: &str, text: &str) {
        let expression = format!(
            "!!document.querySelector({})?.textContent.includes({})",
            json!(css),
            json!(text)
        );
        self.until(&format!("{css} says {text:?}"), &expression)
            .await;
    }

    pub async fn evaluate(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.client
            .execute(&script, Vec::new())
            .await
            .unwrap_or(Value::Null)
    }

    pub async fn text(&self, css: &str) -> String {
        let expression = format!("document.querySelector({})?.innerText ?? ''", json!(css));
        self.evaluate(&expression)
            .await
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Types into whatever has the focus.
    pub async fn keys(&self, keys: &str) {
        let element = self
            .client
            .active_element()
            .await
            .expect("something has the focus");
        element.send_keys(keys).await.expect("keys are typed");
    }

    /// The size of the screen, and `light` or `dark`.
    pub async fn shows(&self, (width, height): (u32, u32), scheme: &str) {
        let mobile = width < 600;
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile }),
        )
        .await;
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
        )
        .await;
    }

    /// Writes what is shown to `target/screens/<name>.png`.
    pub async fn screenshot(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screens");
        std::fs::create_dir_all(&folder).expect("the folder of the screens");
        let picture = self.client.screenshot().await.expect("a screenshot");
        std::fs::write(folder.join(format!("{name}.png")), picture).expect("the picture is kept");
    }

    /// What the page complained about: errors of script, policy or network.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self
            .client
            .issue_cmd(Post("se/log", json!({ "type": "browser" })))
            .await;
        let log = log.expect("the browser's log");
        let entries = log.as_array().into_iter().flatten();
        let severe = entries.filter(|entry| entry["level"] == "SEVERE");
        severe
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        let answer = self.client.issue_cmd(Post("goog/cdp/execute", body)).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// The folder of the profile, which every process of the browser names.
    pub fn profile(&self) -> &Path {
        &self.driver.profile.0
    }

    pub async fn close(self) {
        let Self { client, driver, .. } = self;
        client.close().await.expect("the browser closes");
        tokio::task::block_in_place(|| drop(driver));
    }
}

/// A POST below the session that the standard does not know.
#[derive(Debug)]
struct Post(&'static str, Value);

impl WebDriverCompatibleCommand for Post {
    fn endpoint(
        &self,
        base_url: &Url,
        session_id: Option<&str>,
    ) -> Result<Url, <Url as std::str::FromStr>::Err> {
        base_url.join(&format!(
            "session/{}/{}",
            session_id.unwrap_or_default(),
            self.0
        ))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

/// chromedriver on a port of its own choice.
struct Driver {
    child: Child,
    address: String,
    profile: Profile,
}

impl Driver {
    /// chromedriver has the system choose its port on [::1] and then wants the same one on
    /// 127.0.0.1. Where somebody has it there it ends ("IPv4 port not available"), and is started
    /// again.
    fn start(profile: Profile) -> Self {
        let mut said = String::new();
        for _ in 0..10 {
            let mut child = Command::new("chromedriver")
                .arg("--port=0")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("chromedriver is installed: ./run test sees to it");
            let output = child.stdout.take().expect("its output");
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(port) = port_in(&line) {
                    return Self {
                        child,
                        address: format!("http://127.0.0.1:{port}"),
                        profile,
                    };
                }
                said.push_str(&line);
                said.push('\n');
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("chromedriver says no port: {said}");
    }
}

fn port_in(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("successfully on port ")?;
    rest.trim_end_matches('.').parse().ok()
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Asked to end, it ends its browsers as well.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        for _ in 0..200 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return self.profile.end_browsers();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.profile.end_browsers();
    }
}

/// An empty folder for a browser's profile.
struct Profile(PathBuf);

impl Profile {
    fn new() -> Self {
        let name = format!("sottovoce-browser-{:016x}", fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder for the profile");
        Self(path)
    }

    /// Ends what still uses the profile, by the name that no other process knows: after a failed
    /// test the driver goes without its browser.
    fn end_browsers(&self) {
        for pid in processes::that_name(&self.0) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's cleaning.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Browser")
    }
}
