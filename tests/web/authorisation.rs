//! Who may do what: each row of the OpenAPI document, asked by everybody, against
//! `fixtures/tables/authorisation.txt`. A row that either of the two lacks is a fault.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Value, json};
use sottovoce::demo::phone::Line;

use crate::client::{Client, text_of};
use crate::scene::share;
use crate::world::{CUSTOMER, Talk, World};

const TABLE: &str = include_str!("../../fixtures/tables/authorisation.txt");

/// The columns, and who stands for each. The one whose wish is granted comes last.
const VIEWERS: [(&str, &str); 6] = [
    ("nobody", ""),
    ("agent", "204"),
    ("out of scope", "sam"),
    ("other organisation", "bob"),
    ("administrator", "root"),
    ("in scope", "mia"),
];

/// Those who are shown nothing of the call.
const STRANGERS: [&str; 3] = ["nobody", "out of scope", "other organisation"];

/// One line of the table.
struct Row {
    name: String,
    /// By column.
    expected: BTreeMap<String, u16>,
    /// The last column.
    asked: String,
    /// Values of the path, beside those that the scene fills in.
    names: Vec<(String, String)>,
    body: Option<Value>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_answers_everybody_as_the_table_says() {
    let (columns, table) = read(TABLE);
    let mut scene = Scene::new().await;
    let document = scene.mia.get("/api/openapi.json").await.expect(200);
    let mut faults = String::new();
    let mut lines = String::new();

    let rows = rows_of(&document);
    for name in &rows {
        let known = table.iter().find(|row| row.name == *name);
        if known.is_none() {
            writeln!(faults, "not in the table: {name}").unwrap();
        }
        let unknown = Row::new(name);
        let row = known.unwrap_or(&unknown);
        let mut answered = BTreeMap::new();
        for (column, user) in VIEWERS {
            let answer = scene.ask(row, user).await;
            answered.insert(column, answer.status);
            if row
                .expected
                .get(column)
                .is_some_and(|expected| *expected != answer.status)
            {
                let (expected, status) = (row.expected[column], answer.status);
                let text: String = answer.text.chars().take(200).collect();
                writeln!(faults, "{name}, {column}: {status} for {expected}: {text}").unwrap();
            }
            if STRANGERS.contains(&column) {
                for secret in [&CUSTOMER[1..], &*scene.talk.id, "Aino"] {
                    assert!(
                        !answer.text.contains(secret),
                        "{name} shows {secret} to {column}"
                    );
                }
            }
        }
        let statuses = columns.iter().map(|column| answered[&**column].to_string());
        let statuses: Vec<_> = statuses.collect();
        let line = format!("{name} | {} | {}", statuses.join(" "), row.asked);
        writeln!(lines, "{}", line.trim_end_matches([' ', '|'])).unwrap();
    }
    for row in table.iter().filter(|row| !rows.contains(&row.name)) {
        writeln!(faults, "not in the document: {}", row.name).unwrap();
    }

    if std::env::var_os("UPDATE_TABLES").is_some() {
        let head = TABLE
            .split_inclusive('\n')
            .take_while(|line| !line.starts_with("row |"));
        let head: String = head.collect();
        let columns = columns.join(" | ").replace(' ', "-").replace("-|-", " ");
        let text = format!("{head}row | {columns} | asked with\n{lines}");
        std::fs::write(share().join("fixtures/tables/authorisation.txt"), text).unwrap();
    } else {
        assert!(faults.is_empty(), "\n{faults}");
    }
    scene.world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_names_each_row_once_and_says_how_it_refuses() {
    let world = World::new("document").await;
    let nobody = Client::nobody(&world.service);
    let document = nobody.get("/api/openapi.json").await.expect(200);
    let mut names = std::collections::BTreeSet::new();

    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, row) in item.as_object().unwrap() {
            let name = text_of(&row["operationId"]);
            assert!(names.insert(name.clone()), "{name} twice");
            let responses = row["responses"].as_object().unwrap();
            assert!(responses.contains_key("401"), "{method} {path} without 401");
            for (status, response) in responses {
                let schema = &response["content"]["application/json"]["schema"]["$ref"];
                if status.as_str() >= "400" {
                    assert_eq!(schema, "#/components/schemas/Refusal", "{name} {status}");
                }
            }
        }
    }
    assert!(names.contains("post_calls_id_ticket"));
    world.stop();
}

#[test]
fn a_line_of_the_table_is_read() {
    let (_, rows) = read(
        "# A remark.\nrow | nobody other-organisation | asked with\n\
         PUT /a/{b} | 401 404 | b=c {\"d\": 1}\n",
    );

    assert_eq!(rows[0].name, "PUT /a/{b}");
    assert_eq!(rows[0].expected["other organisation"], 404);
    assert_eq!(rows[0].names, [("b".to_owned(), "c".to_owned())]);
    assert_eq!(rows[0].body, Some(json!({"d": 1})));
}

impl Row {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            expected: BTreeMap::new(),
            asked: String::new(),
            names: Vec::new(),
            body: None,
        }
    }
}

/// The columns in their order, and the rows.
fn read(text: &str) -> (Vec<String>, Vec<Row>) {
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.splitn(3, '|').map(str::trim).collect::<Vec<_>>());
    let head = lines.next().expect("a line that names the columns");
    let columns = head[1]
        .split_whitespace()
        .map(|column| column.replace('-', " "));
    let columns: Vec<String> = columns.collect();
    let rows = lines.map(|cells| {
        let statuses = cells[1]
            .split_whitespace()
            .map(|status| status.parse().unwrap());
        let asked = cells.get(2).copied().unwrap_or_default();
        let (names, body) = asked.split_at(asked.find('{').unwrap_or(asked.len()));
        let names = names
            .split_whitespace()
            .filter_map(|name| name.split_once('='));
        Row {
            expected: columns.iter().cloned().zip(statuses).collect(),
            asked: asked.to_owned(),
            names: names.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            body: (!body.is_empty()).then(|| serde_json::from_str(body).unwrap()),
            ..Row::new(cells[0])
        }
    });
    let rows = rows.collect();
    (columns, rows)
}

/// `METHOD path` of everything that the document describes, in its order.
/// `GET /api/v1/calls`, and so on.
pub fn rows_of(document: &Value) -> Vec<String> {
    let mut rows = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"] {
            if item.get(method).is_some() {
                rows.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    assert!(!rows.is_empty());
    rows
}

/// A call of 204, what hangs on it, and everybody signed in.
struct Scene {
    world: World,
    talk: Talk,
    clients: BTreeMap<&'static str, Client>,
    mia: Client,
    leo: Client,
    /// Mia's session and her phone in it.
    session: Option<(String, Line)>,
}

impl Scene {
    async fn new() -> Self {
        let mut world = World::new("matrix").await;
        let talk = world.talk("204").await;
        let mut clients = BTreeMap::new();
        for (_, user) in VIEWERS {
            let client = match user {
                "" => Client::nobody(&world.service),
                user => world.client(user).await,
            };
            clients.insert(user, client);
        }
        Self {
            mia: clients["mia"].clone(),
            leo: world.client("leo").await,
            world,
            talk,
            clients,
            session: None,
        }
    }

    async fn ask(&mut self, row: &Row, user: &str) -> crate::client::Answer {
        let (method, template) = row.name.split_once(' ').unwrap();
        let id = self.prepare(method, template).await;
        let mut path = template.replace("{id}", &id);
        for (name, value) in row
            .names
            .iter()
            .map(|(n, v)| (&**n, &**v))
            .chain([("extension", "204"), ("organisation", "acme")])
        {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = self.clients[user]
            .send(method, &path, row.body.clone())
            .await;
        if template.ends_with("/logout") && !user.is_empty() {
            let user = VIEWERS.iter().find(|(_, known)| *known == user).unwrap().1;
            let client = self.world.client(user).await;
            self.clients.insert(user, client);
            self.mia = self.clients["mia"].clone();
        }
        answer
    }

    /// Brings about what the row is about, and names it.
    async fn prepare(&mut self, method: &str, template: &str) -> String {
        let calls = self.mia.get("/api/v1/calls").await.expect(200);
        if calls["calls"].as_array().unwrap().is_empty() {
            self.session = None;
            self.talk = self.world.talk("204").await;
        }
        match (method, template) {
            (_, "/api/v1/sessions/{id}") => self.session_goes_on().await,
            ("POST", "/api/v1/calls/{id}/sessions") => {
                self.no_session().await;
                self.talk.id.clone()
            }
            (_, path) if path.starts_with("/api/v1/calls/") => self.talk.id.clone(),
            ("POST", "/api/v1/help-requests") => {
                self.no_help().await;
                String::new()
            }
            (_, path) if path.starts_with("/api/v1/help-requests/") => {
                self.help_waits(path.ends_with("/close")).await
            }
            ("DELETE", "/api/v1/watchlist/{extension}") => {
                self.mia
                    .put("/api/v1/watchlist/204", None)
                    .await
                    .expect(204);
                String::new()
            }
            _ => "ffff".to_owned(),
        }
    }

    async fn session_goes_on(&mut self) -> String {
        if let Some((session, _)) = &self.session {
            let path = format!("/api/v1/sessions/{session}");
            if self.mia.get(&path).await.expect(200)["state"] != "ended" {
                return session.clone();
            }
        }
        self.no_session().await;
        let listening = self.world.listen(&self.mia, &self.talk.id).await;
        self.session.insert(listening).0.clone()
    }

    async fn no_session(&mut self) {
        let sessions = self.mia.get("/api/v1/sessions").await.expect(200);
        for session in sessions["sessions"].as_array().unwrap() {
            let path = format!("/api/v1/sessions/{}", text_of(&session["id"]));
            self.mia.delete(&path).await.expect(204);
        }
        self.session = None;
    }

    async fn open_help(&self) -> Option<Value> {
        let requests = self.mia.get("/api/v1/help-requests").await.expect(200);
        let requests = requests["help_requests"].as_array().unwrap().iter();
        let mut open = requests
            .filter(|request| request["state"] == "requested" || request["state"] == "in_progress");
        open.next().cloned()
    }

    async fn no_help(&self) {
        let Some(open) = self.open_help().await else {
            return;
        };
        let verb = match open["state"] == "requested" {
            true => "cancel",
            false => "close",
        };
        let path = format!("/api/v1/help-requests/{}/{verb}", text_of(&open["id"]));
        self.mia.post(&path, Value::Null).await.expect(200);
    }

    /// A request that waits, or that Leo has accepted.
    async fn help_waits(&self, accepted: bool) -> String {
        let wanted = if accepted { "in_progress" } else { "requested" };
        if let Some(open) = self.open_help().await {
            if open["state"] == wanted {
                return text_of(&open["id"]);
            }
            self.no_help().await;
        }
        let body = json!({"call": self.talk.id});
        let raised = self
            .mia
            .post("/api/v1/help-requests", body)
            .await
            .expect(201);
        let id = text_of(&raised["id"]);
        if accepted {
            let path = format!("/api/v1/help-requests/{id}/accept");
            self.leo.post(&path, Value::Null).await.expect(200);
        }
        id
    }
}
