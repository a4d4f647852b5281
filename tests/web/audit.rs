//! The audit and the reports, as they are handed out.

use std::io::Read as _;

use reqwest::Method;
use serde_json::Value;

use crate::client::Client;
use crate::world::{World, state_is};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_in_audit_and_report_of_those_who_may_read_them() {
    let mut world = World::new("audit").await;
    let talk = world.talk("204").await;
    let mia = world.client("mia").await;
    let (session, line) = world.listen(&mia, &talk.id).await;
    let path = format!("/api/v1/sessions/{session}");
    let coach = serde_json::json!({"role": "coach"});
    mia.patch(&path, coach).await.expect(200);
    // What has passed in a role is told while the session lasts.
    let report = "/api/v1/reports/supervision";
    let coached = |seen: &Value| seen["report"][0]["coach_s"].as_f64() > Some(0.0);
    mia.until(report, coached).await;
    line.hang_up().await.unwrap();
    state_is(&mia, &session, "ended").await;

    // Each filter leaves what it says.
    let call = format!("/api/v1/audit?call={}", talk.id);
    let rows = audit(&mia, &call).await;
    assert!(rows.iter().all(|row| row["call"] == talk.id.as_str()));
    let role = rows
        .iter()
        .find(|row| row["action"] == "role" && row["outcome"] == "done");
    let role = role.expect("the change of the role is told");
    for (field, value) in [
        ("actor", "mia"),
        ("source", "api"),
        ("agent", "204"),
        ("role_before", "monitor"),
        ("role_after", "coach"),
        ("organisation", "acme"),
    ] {
        assert_eq!(role[field], value, "{role}");
    }
    let at = role["at"].as_str().unwrap();
    assert!(
        at.ends_with('Z') && at.len() == "2026-11-21T10:20:30.456Z".len(),
        "{at}"
    );
    for field in ["customer", "code", "help_request"] {
        assert!(role.get(field).is_some(), "{role}");
    }
    assert_eq!(
        audit(&mia, "/api/v1/audit?agent=205").await,
        Vec::<Value>::new()
    );
    assert_eq!(
        audit(&mia, "/api/v1/audit?to=2000-01-01").await,
        Vec::<Value>::new()
    );
    let all = audit(
        &mia,
        "/api/v1/audit?supervisor=mia&agent=204&from=2000-01-01",
    )
    .await;
    assert!(all.len() >= rows.iter().filter(|row| row["actor"] == "mia").count());

    // Who sees it: colleagues of the pool and administrators; not other pools and organisations.
    for (user, sees) in [
        ("leo", true),
        ("root", true),
        ("sam", false),
        ("bob", false),
    ] {
        let client = world.client(user).await;
        assert_eq!(!audit(&client, &call).await.is_empty(), sees, "{user}");
        let by = "/api/v1/reports/supervision?by=agent";
        let report = client.get(by).await.expect(200);
        let lines = report["report"].as_array().unwrap();
        assert_eq!(
            lines.iter().any(|line| line["key"] == "204"),
            sees,
            "{user}"
        );
    }
    let aino = world.client("204").await;
    aino.get("/api/v1/audit").await.expect(403);
    aino.get("/api/v1/reports/supervision").await.expect(403);

    // The report counts the same session under each heading.
    for (by, key) in [
        ("supervisor", "mia"),
        ("agent", "204"),
        ("role", "coach"),
        ("role", "monitor"),
    ] {
        let path = format!("/api/v1/reports/supervision?by={by}");
        let report = mia.get(&path).await.expect(200);
        assert_eq!(report["by"], by);
        let lines = report["report"].as_array().unwrap().iter();
        let line = lines.clone().find(|line| line["key"] == key);
        assert_eq!(line.expect(key)["sessions"], 1, "{report}");
    }
    let report = mia.get("/api/v1/reports/supervision").await.expect(200);
    let line = &report["report"][0];
    let spent = ["monitor_s", "coach_s"].map(|role| line[role].as_f64().unwrap());
    let duration = line["duration_s"].as_f64().unwrap();
    assert!(spent[0] > 0.0 && spent[1] > 0.0, "{line}");
    assert!((spent[0] + spent[1] - duration).abs() < 0.5, "{line}");

    for path in [
        "audit?from=yesterday",
        "audit?to=x",
        "reports/supervision?by=day",
    ] {
        mia.get(&format!("/api/v1/{path}")).await.expect(400);
    }
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_is_handed_out_to_those_who_accept_it() {
    let world = World::new("audit-csv").await;
    let root = world.client("root").await;
    let put = serde_json::json!({"name": "Night, \"late\""});
    let path = "/api/v1/admin/organisations/acme/agents/701";
    root.put(path, Some(put)).await.expect(201);

    let (kind, file, text) = csv(&root, "/api/v1/audit?supervisor=root").await;
    assert_eq!(kind, "text/csv; charset=utf-8");
    assert_eq!(file, "attachment; filename=\"audit.csv\"");
    let mut lines = text.split("\r\n");
    let head = lines.next().unwrap();
    assert!(
        head.starts_with("seq,at,organisation,actor,source,call,"),
        "{head}"
    );
    assert!(lines.next().unwrap().contains(",acme,root,api,"), "{text}");
    let (kind, file, text) = csv(&root, "/api/v1/reports/supervision?by=pool").await;
    assert_eq!(kind, "text/csv; charset=utf-8");
    assert_eq!(file, "attachment; filename=\"supervision-report.csv\"");
    assert!(
        text.starts_with("organisation,key,sessions,duration_s,"),
        "{text}"
    );

    // Compressed, it has the same end.
    let request = root.request(Method::GET, "/api/v1/audit", None);
    let request = request.header("Accept", "text/csv");
    let answer = request.header("Accept-Encoding", "gzip").send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let (whole, sent) = (csv(&root, "/api/v1/audit").await.2, answer.bytes().await);
    let mut text = String::new();
    let sent = sent.unwrap();
    let mut unpacked = flate2::read::GzDecoder::new(&sent[..]);
    unpacked.read_to_string(&mut text).unwrap();
    assert_eq!(text, whole);

    let json = root.get("/api/v1/audit?supervisor=root").await;
    assert_eq!(json.headers["content-type"], "application/json");
    assert_eq!(json.expect(200)["audit"].as_array().unwrap().len(), 1);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_fails_is_audited_and_no_cell_of_it_is_a_formula() {
    let world = World::new("audit-formula").await;
    let root = world.client("root").await;
    let body = serde_json::json!({"user": "=cmd|'/C calc'!A0", "password": "wrong"});
    let nobody = Client::nobody(&world.service);
    let refused = nobody.post("/api/v1/login", body).await;
    refused.expect(401);
    assert!(refused.headers.contains_key("www-authenticate"));

    let (_, _, text) = csv(&root, "/api/v1/audit").await;

    assert!(text.contains(",'=cmd|'/C calc'!A0,api,"), "{text}");
    let rows = audit(&root, "/api/v1/audit").await;
    // Behind those of the people who were applied.
    let last = rows.last().unwrap();
    assert_eq!(last["action"], "sign_in");
    assert_eq!(last["outcome"], "refused");
    assert_eq!(last["actor"], "=cmd|'/C calc'!A0");
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_not_kept_nor_taken_for_something_else() {
    let world = World::new("audit-headers").await;
    let root = world.client("root").await;
    for path in ["/api/v1/me", "/api/v1/audit", "/api/v1/nothing", "/healthz"] {
        let answer = root.get(path).await;
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    }
    let page = Client::nobody(&world.service).request(Method::GET, "/nothing", None);
    let page = page.header("Accept", "text/html,*/*").send().await.unwrap();
    assert_eq!(page.status(), 404);
    let kind = page.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/html"), "{kind}");
    world.stop();
}

async fn audit(client: &Client, path: &str) -> Vec<Value> {
    let audit = client.get(path).await.expect(200);
    audit["audit"].as_array().unwrap().clone()
}

async fn csv(client: &Client, path: &str) -> (String, String, String) {
    let request = client.request(Method::GET, path, None);
    let answer = request.header("Accept", "text/csv").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let [kind, file] = ["content-type", "content-disposition"]
        .map(|name| answer.headers()[name].to_str().unwrap().to_owned());
    (kind, file, answer.text().await.unwrap())
}
