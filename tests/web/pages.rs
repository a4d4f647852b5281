//! What is told as a page to those who read pages, where there is none to show.

use reqwest::Method;

use crate::client::Client;
use crate::world::{ROOT_PASSWORD, World, add_root, password_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_cannot_be_read_is_told_as_a_page_in_the_readers_language() {
    let world = World::new("pages-400").await;
    add_root(&world.service);
    let mia = Client::browser(&world.service, "mia", password_of("mia")).await;
    let root = Client::browser(&world.service, "root", ROOT_PASSWORD).await;

    for (who, path, status, said) in [
        // The page itself says what it could not take.
        (&mia, "/audit?from=yesterday", 400, "from: expected"),
        (&mia, "/audit?from=2026-13-01", 400, "from: expected"),
        (&mia, "/reports?to=soon", 400, "to: expected"),
        (&mia, "/reports?by=weather", 400, "by: expected"),
        // What is no page at all says so in words.
        (
            &mia,
            "/audit?before=abc",
            400,
            "La dirección de esta página",
        ),
        (
            &mia,
            "/audit?from=1&from=2",
            400,
            "La dirección de esta página",
        ),
        (
            &root,
            "/contacts?organisation=a&organisation=b",
            400,
            "La dirección de esta página",
        ),
        (
            &mia,
            "/audit.csv?from=yesterday",
            400,
            "La dirección de esta página",
        ),
        (
            &mia,
            "/reports.csv?by=weather",
            400,
            "La dirección de esta página",
        ),
        (&mia, "/nowhere", 404, "Esta página no existe"),
    ] {
        let request = who
            .request(Method::GET, path, None)
            .header("Accept", "text/html")
            .header("Accept-Language", "es");
        let answer = who.execute(request.build().unwrap()).await;

        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        let kind = answer.headers["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/html"), "{path}: {kind}");
        assert!(
            answer.headers.contains_key("content-security-policy"),
            "{path}"
        );
        assert!(answer.text.contains(said), "{path}: {}", answer.text);
        assert!(answer.text.trim_end().ends_with("</html>"), "{path}");
        // Programs are told as programs are.
        let request = who.request(Method::GET, path, None);
        let request = request.header("Accept", "application/json");
        let answer = who.execute(request.build().unwrap()).await;
        assert_eq!(answer.status, status, "{path}");
    }
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_is_none_of_ours_is_refused_as_a_page() {
    let world = World::new("pages-forms").await;
    let nobody = Client::nobody(&world.service);

    for (path, body, origin, status) in [
        ("/language", "language=tlh", None, 400),
        ("/language", "nothing=here", None, 422),
        ("/sign-in", "user=mia", None, 422),
        (
            "/sign-in",
            "user=mia&password=x",
            Some("http://elsewhere.example"),
            403,
        ),
    ] {
        let mut request = nobody
            .request(Method::POST, path, None)
            .header("Accept", "text/html")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some(origin) = origin {
            request = request.header("Origin", origin);
        }
        let answer = nobody.execute(request.build().unwrap()).await;

        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text);
        assert!(answer.text.trim_end().ends_with("</html>"), "{path} {body}");
    }
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_of_a_sign_in_is_for_no_script_and_no_other_site() {
    let world = World::new("cookie").await;
    // The answer itself, and not the page that it leads to.
    let http = reqwest::Client::builder().no_proxy();
    let http = http.redirect(reqwest::redirect::Policy::none());
    let http = http.build().unwrap();
    let password = password_of("mia");

    for (path, kind, body) in [
        (
            "/api/v1/login",
            "application/json",
            format!(r#"{{"user": "mia", "password": "{password}"}}"#),
        ),
        (
            "/sign-in",
            "application/x-www-form-urlencoded",
            format!("user=mia&password={password}"),
        ),
    ] {
        let answer = http
            .post(format!("http://{}{path}", world.service.http))
            .header("Content-Type", kind)
            .body(body)
            .send()
            .await
            .unwrap();

        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with("sottovoce_session="), "{path}: {cookie}");
        for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            let mut parts = cookie.split("; ");
            assert!(parts.any(|part| part == attribute), "{path}: {cookie}");
        }
    }
    world.stop();
}
