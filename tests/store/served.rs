//! The database of a running service, read by others.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use sottovoce::demo::service::{Service, Setup};
use sottovoce::edge::config::DatabaseUrl;
use sottovoce::edge::store::audit::Verdict;

use crate::databases::Database;

const PEOPLE: &str = r#"
[[organisation]]
id = "acme"
name = "Acme"
supervising_numbers = ["800"]
"#;

/// Actions before another process reads, and after it.
const ACTIONS: usize = 3;

/// SQLite's last connection to close deletes the log that is being written to. Who closes here is
/// not the last one, and has to find that out by the locks of the service.
pub async fn a_reader_that_comes_and_goes_takes_no_row_along() {
    let database = Database::sqlite().await;
    let DatabaseUrl::Sqlite(file) = &database.url else {
        panic!("{:?} is no file", database.url);
    };
    let setup = Setup {
        dir: file.parent().unwrap().to_owned(),
        people: PEOPLE.into(),
        ends_with_us: true,
        ..Setup::default()
    };
    let service = Service::start(Path::new(env!("CARGO_BIN_EXE_sottovoce")), &setup).unwrap();
    let count = "SELECT COUNT(*) || '' FROM audit WHERE action = 'sign_in'";

    for name in 0..ACTIONS {
        refused_sign_in(&service, name);
    }
    let seen = database.texts(count).await;
    for name in ACTIONS..2 * ACTIONS {
        refused_sign_in(&service, name);
    }
    let gone = deleted_files(&service);
    service.kill().unwrap();

    assert_eq!(seen, [[ACTIONS.to_string()]]);
    assert_eq!(gone, Vec::<String>::new(), "the service writes to these");
    assert_eq!(database.texts(count).await, [[(2 * ACTIONS).to_string()]]);
    let rows: u64 = database.texts("SELECT COUNT(*) || '' FROM audit").await[0][0]
        .parse()
        .unwrap();
    let verdict = database.store().await.verify_audit().await.unwrap();
    assert_eq!(verdict, Verdict::Intact { rows });
}

/// It is in the audit when it is answered. Each has a name of its own: one that was tried often
/// would be locked.
fn refused_sign_in(service: &Service, name: usize) {
    let body = format!(r#"{{"user": "nobody-{name}", "password": "anything"}}"#);
    let mut stream = TcpStream::connect(service.http).unwrap();
    write!(
        stream,
        "POST /api/v1/login HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        service.http,
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

/// What the service has open and nobody else can open any more.
fn deleted_files(service: &Service) -> Vec<String> {
    let descriptors = format!("/proc/{}/fd", service.id());
    std::fs::read_dir(descriptors)
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .map(|target| target.display().to_string())
        .filter(|target| target.contains("sottovoce.db") && target.ends_with(" (deleted)"))
        .collect()
}
