//! The OpenAPI document of a running service, held against it by schemathesis with each kind of
//! sign-in: no 5xx, no status and no body that the document does not describe.
//!
//! `./run test` installs schemathesis into `target/schemathesis`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::scene::share;
use crate::world::World;

/// Cases that are made up for each row and sign-in, beside those that its schema implies.
const EXAMPLES: &str = "8";

/// A row of which nothing can be held against the document after it.
const SIGNS_OUT: &str = "/api/v1/logout";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_answers_as_its_document_says_whoever_asks() {
    let mut world = World::new("schemathesis").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let (session, line) = world.listen(&mia, &talk.id).await;
    let raised = json!({"call": talk.id});
    let raised = mia.post("/api/v1/help-requests", raised).await.expect(201);
    let help = text_of(&raised["id"]);
    // Wrong passwords from here lock everybody out who comes later.
    let viewers = [
        ("supervisor", mia),
        ("agent", world.client("204").await),
        ("administrator", world.client("root").await),
        ("nobody", Client::nobody(&world.service)),
    ];
    let config = config(&world, &talk.id, &session, &help);

    for (name, viewer) in viewers {
        hold(&world, &config, name, &viewer).await;
        if viewer.token().is_some() {
            let me = viewer.get("/api/v1/me").await.expect(200);
            assert_ne!(me["kind"], Value::Null, "{name} was signed in to the end");
        }
    }

    drop(line);
    world.stop();
}

/// A stream, which tests/web/events.rs reads.
const NEVER_ENDS: &str = "/api/v1/events";

async fn hold(world: &World, config: &Path, name: &str, viewer: &Client) {
    let program = share().join("target/schemathesis/bin/schemathesis");
    assert!(
        program.exists(),
        "no {}: ./run test installs it",
        program.display()
    );
    let mut command = tokio::process::Command::new(program);
    command
        .arg("--config-file")
        .arg(config)
        .arg("run")
        .arg(format!("http://{}/api/openapi.json", world.service.http))
        .args(["--max-examples", EXAMPLES, "--seed", "1"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,\
             response_schema_conformance",
        ])
        .args(["--exclude-path", NEVER_ENDS])
        .args(["--no-shrink", "--continue-on-failure", "--warnings", "off"])
        .current_dir(config.parent().unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    if let Some(token) = viewer.token() {
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
        command.args(["--exclude-path", SIGNS_OUT]);
    }
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let tail: Vec<&str> = said.lines().rev().take(150).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    assert!(output.status.success(), "{name}:\n{}", tail.join("\n"));
}

/// Names of things that are there, beside those that are made up.
fn config(world: &World, call: &str, session: &str, help: &str) -> PathBuf {
    let rows = [
        ("calls", "path.id", call),
        ("sessions", "path.id", session),
        ("help-requests", "path.id", help),
        ("watchlist", "path.extension", "204"),
        ("admin/organisations", "path.organisation", "acme"),
    ];
    let mut text = String::new();
    for (rows, name, value) in rows {
        text += &format!(
            "[[operations]]\ninclude-path-regex = \"^/api/v1/{rows}/\"\n\
             parameters = {{ \"{name}\" = [\"{value}\", \"ffff\"] }}\n"
        );
    }
    let path = world.service.dir.join("schemathesis.toml");
    std::fs::write(&path, text).unwrap();
    path
}
