//! The commands that ask the configuration and the database, as a person or a script runs them.

#[path = "cli/events.rs"]
mod events;

use std::fs;
use std::io::Write as _;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use sottovoce::control::input::StoreAnswer;
use sottovoce::control::record::{AuditRow, Outcome, Record, Source};
use sottovoce::edge::config::DatabaseUrl;
use sottovoce::edge::store::Store;
use sottovoce::id::RecordId;

const PEOPLE: &str = r#"
[[organisation]]
id = "acme"
name = "Acme"
supervising_numbers = ["800"]
supervision = true
[[supervisor]]
organisation = "acme"
user = "mia"
name = "Mia"
phone = "+358401234567"
pin = "4711"
"#;

#[test]
fn check_says_a_line_for_each_thing_and_a_silent_trunk_stops_nothing() {
    let node = Node::new();
    let silent = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let trunk = format!(
        "[[trunk]]\nname = \"carrier\"\npeers = [\"127.0.0.2\"]\nuri = \"sip:127.0.0.1:{port}\"\n"
    );
    let lines = node.configure(&trunk);

    let checked = node.run(&["check"], "");

    let said = text(&checked.stdout);
    let heads: Vec<_> = said
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        heads,
        [
            "ok       configuration",
            "ok       ports",
            "ok       error codes",
            "ok       prompts",
            "ok       codecs",
            "ok       database",
            "warning  trunk carrier",
        ],
        "{said}"
    );
    assert!(
        said.contains(&format!("sottovoce.toml:{lines}: [[trunk]] uri: ")),
        "{said}"
    );
    assert!(checked.status.success());
    assert!(!node.folder.join("data").exists(), "check makes nothing");
}

/// Containers forbid io_uring as this does: by a filter in front of the kernel.
#[test]
fn io_uring_is_tried_and_refused_by_name_where_the_kernel_does_not_let_it() {
    let node = Node::new();
    for (wish, expected) in [
        ("epoll", "moved by epoll"),
        ("auto", "moved by io_uring"),
        ("io_uring", "moved by io_uring"),
    ] {
        node.configure(&format!("io = \"{wish}\"\n"));
        let said = text(&node.run(&["check"], "").stdout).to_owned();
        assert!(said.contains(expected), "{said}");
    }
    let refused =
        "sottovoce.toml:7: [rtp] io: io_uring cannot be had here (Operation not permitted";

    let forbidden = |command_name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sottovoce"));
        let arguments = [command_name, "--config", "sottovoce.toml"];
        command.args(arguments).current_dir(&node.folder);
        // SAFETY: two system calls and memory of its own.
        unsafe { command.pre_exec(forbid_io_uring) };
        command.output().unwrap()
    };
    let checked = forbidden("check");
    let served = forbidden("serve");
    node.configure("io = \"auto\"\n");
    let automatic = forbidden("check");

    let said = text(&checked.stdout);
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.starts_with(&format!("failed   ports: {refused}")),
        "{said}"
    );
    assert!(
        text(&served.stderr).contains(refused),
        "{}",
        text(&served.stderr)
    );
    assert_eq!(
        (checked.status.code(), served.status.code()),
        (Some(1), Some(1))
    );
    let said = text(&automatic.stdout);
    assert!(said.contains("moved by epoll"), "{said}");
}

fn forbid_io_uring() -> std::io::Result<()> {
    let (load, equal, answer) = (0x20, 0x15, 0x06);
    let step = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let (forbid, allow) = (0x0005_0000 | libc::EPERM as u32, 0x7fff_0000);
    let mut steps = [
        step(load, 0, 0),
        step(equal, 1, libc::SYS_io_uring_setup as u32),
        step(answer, 0, allow),
        step(answer, 0, forbid),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program outlives the calls.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
    };
    if done {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

#[test]
fn check_stops_at_the_first_thing_that_would_stop_serve() {
    let node = Node::new();
    let taken = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let taken = taken.local_addr().unwrap();

    node.write("[rtp]\nports = \"9-8\"\n");
    let wrong = node.run(&["check"], "");
    node.write(&format!("[sip]\nlisten = [\"udp:{taken}\"]\n"));
    let occupied = node.run(&["check"], "");
    node.write("[node]\nlanguage = \"xx\"\n[sip]\nlisten = [\"udp:127.0.0.1:1025\"]\n[http]\nlisten = \"127.0.0.1:1026\"\n");
    let speechless = node.run(&["check"], "");

    for (output, expected) in [
        (
            &wrong,
            "failed   configuration: sottovoce.toml:2: [rtp] ports: expected \"first-last\""
                .to_owned(),
        ),
        (
            &occupied,
            format!(
                "failed   ports: sottovoce.toml:2: [sip] listen: udp:{taken} cannot be bound: "
            ),
        ),
        (
            &speechless,
            "failed   prompts: sottovoce.toml:2: [node] language: ".to_owned(),
        ),
    ] {
        let said = text(&output.stdout);
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with(&expected), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
    assert!(text(&speechless.stdout).contains("prompts/xx/"));
}

#[test]
fn where_nothing_can_be_spoken_it_is_said_what_was_looked_for_and_where() {
    let node = Node::new();
    node.configure("");
    // The program looks around itself as well, and the tests' own lies in the project.
    let elsewhere = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(node.folder.file_name().unwrap())
        .join("a/b/c");
    fs::create_dir_all(&elsewhere).unwrap();
    let program = elsewhere.join("sottovoce");
    fs::hard_link(env!("CARGO_BIN_EXE_sottovoce"), &program).unwrap();

    let run = |command: &str| {
        Command::new(&program)
            .args([command, "--config", "sottovoce.toml"])
            .current_dir(&node.folder)
            .output()
            .unwrap()
    };
    let checked = run("check");
    let served = run("serve");
    fs::remove_dir_all(elsewhere.ancestors().nth(3).unwrap()).unwrap();

    let said = text(&checked.stdout);
    let last = said.lines().last().unwrap_or_default();
    let missed = "error-codes.toml and prompts/ are in none of ";
    assert!(
        last.starts_with(&format!("failed   error codes: {missed}")),
        "{said}"
    );
    for (said, status) in [
        (last, checked.status),
        (text(&served.stderr).as_str(), served.status),
    ] {
        assert!(said.contains(missed), "{said}");
        for folder in [
            &*node.folder,
            elsewhere.as_path(),
            Path::new("/usr/share/sottovoce"),
        ] {
            assert!(said.contains(&folder.display().to_string()), "{said}");
        }
        assert!(
            said.contains("set [node] share in sottovoce.toml"),
            "{said}"
        );
        assert_eq!(status.code(), Some(1));
    }
}

#[test]
fn apply_prints_what_changed_and_then_that_nothing_did() {
    let node = Node::new();
    node.configure("");
    let people = node.folder.join("people.toml");
    fs::write(&people, PEOPLE).unwrap();
    let people = people.to_str().unwrap();

    let first = node.run(&["apply", people], "");
    let second = node.run(&["apply", people], "");
    fs::write(people, PEOPLE.replace("\"+358401234567\"", "\"12\"")).unwrap();
    let wrong = node.run(&["apply", people], "");

    assert_eq!(
        text(&first.stdout),
        "created organisation acme\ncreated supervisor acme/mia\n"
    );
    assert_eq!(text(&second.stdout), "nothing changed\n");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        text(&wrong.stderr).contains("people.toml:11: [[supervisor]] phone: expected"),
        "{wrong:?}"
    );
    assert!(wrong.stdout.is_empty());
}

/// The service writes its rows in one process, commands write theirs in others.
#[test]
fn commands_beside_a_running_service_keep_one_chain() {
    let node = Node::new();
    node.configure("");
    fs::write(node.folder.join("people.toml"), PEOPLE).unwrap();
    let mut changed = 0;

    // From nothing, all at once: one of them makes the tables, and one of them the people.
    let begun: Vec<_> = (0..4)
        .map(|_| node.begin(&["apply", "people.toml", "--config", "sottovoce.toml"]))
        .collect();
    for child in begun {
        let said = child.wait_with_output().unwrap();
        assert!(said.status.success(), "{said:?}");
        changed += usize::from(text(&said.stdout) != "nothing changed\n");
    }
    assert_eq!(changed, 1);

    std::thread::scope(|scope| {
        let service = scope.spawn(|| node.write_audit(200));
        while !service.is_finished() {
            let set = node.run(
                &["user", "passwd", "mia", "--organisation", "acme"],
                "password\n",
            );
            assert!(set.status.success(), "{set:?}");
        }
    });

    let verified = node.run(&["audit", "verify"], "");
    let said = text(&verified.stdout);
    assert!(said.starts_with("intact: "), "{said}");
    let export = node.run(&["audit", "export"], "");
    let export = text(&export.stdout);
    let passwd = export.matches("admin_user_passwd").count();
    assert_eq!(said, format!("intact: {} rows\n", 200 + 2 + passwd));
    assert!(passwd > 0);
}

#[test]
fn a_password_is_read_from_standard_input_where_that_is_no_terminal() {
    let node = Node::new();
    node.configure("");

    let added = node.run(&["user", "add", "root"], "the first\n");
    let again = node.run(&["user", "add", "root"], "the second\n");
    let changed = node.run(&["user", "passwd", "root"], "the third\n");
    let nobody = node.run(&["user", "passwd", "toor"], "the third\n");
    let nothing = node.run(&["user", "add", "other"], "\n");
    let short = node.run(&["user", "passwd", "root"], "seven77\n");

    assert_eq!(text(&added.stdout), "created administrator root\n");
    assert!(text(&again.stderr).contains("there is an administrator root already"));
    assert_eq!(
        text(&changed.stdout),
        "changed administrator root: password\n"
    );
    assert!(text(&nobody.stderr).contains("there is no administrator toor"));
    let expected = "expected a password of at least 8 characters, found ";
    assert!(text(&nothing.stderr).contains(&format!("{expected}0")));
    assert!(text(&short.stderr).contains(&format!("{expected}7")));
    for refused in [again, nobody, nothing, short] {
        assert_eq!(refused.status.code(), Some(1));
    }
}

#[test]
fn an_audit_that_is_not_there_is_not_an_empty_one() {
    let node = Node::new();
    node.configure("");

    for command in ["verify", "export"] {
        let missing = node.run(&["audit", command], "");

        assert_eq!(missing.status.code(), Some(1), "{command}");
        assert!(text(&missing.stderr).contains("there is no database"));
    }
}

#[test]
fn the_audit_is_exported_and_its_first_altered_row_named() {
    let node = Node::new();
    node.configure("");
    node.write_audit(3);

    let csv = node.run(&["audit", "export"], "");
    let json = node.run(&["audit", "export", "--format", "json"], "");
    let later = node.run(&["audit", "export", "--from", "1970-01-01T00:00:02Z"], "");
    let intact = node.run(&["audit", "verify"], "");
    node.sql("UPDATE audit SET actor = 'eve' WHERE seq = 2");
    let altered = node.run(&["audit", "verify"], "");

    let csv = text(&csv.stdout);
    let mut lines = csv.split("\r\n");
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("seq,at,organisation,actor,source,call,")
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("1,1970-01-01T00:00:01.000Z,acme,\"mia, the first\",phone,,"),
        "{csv}"
    );
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["audit"].as_array().unwrap().len(), 3);
    assert_eq!(json["audit"][2]["action"], "join");
    assert_eq!(json["audit"][2]["code"], serde_json::Value::Null);
    assert_eq!(
        text(&later.stdout).lines().count(),
        3,
        "a header and two rows"
    );
    assert_eq!(text(&intact.stdout), "intact: 3 rows\n");
    assert_eq!(text(&altered.stdout), "altered: row 2: it was altered\n");
    assert_eq!(altered.status.code(), Some(1));
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let node = Node::new();
    node.configure("");
    fs::create_dir(node.folder.join("data")).unwrap();
    fs::write(node.database(), "this is a letter, and no database at all").unwrap();

    let checked = node.run(&["check"], "");
    let verified = node.run(&["audit", "verify"], "");

    assert!(text(&checked.stdout).contains("failed   database: sqlite:"));
    assert!(
        text(&verified.stderr).contains("sottovoce.db"),
        "{verified:?}"
    );
    assert_eq!(verified.status.code(), Some(1));
}

#[test]
fn results_and_logs_go_different_ways() {
    let node = Node::new();
    node.configure("");
    node.write_audit(1);

    let verified = node.run(&["--log", "trace", "audit", "verify"], "");

    assert_eq!(text(&verified.stdout), "intact: 1 rows\n");
    assert!(!verified.stderr.is_empty());
    let odd = node.run(&["--log", "sottovoce=loud", "audit", "verify"], "");
    assert_eq!(odd.status.code(), Some(1));
}

#[test]
fn every_command_explains_itself() {
    let node = Node::new();
    for command in ["serve", "demo", "check", "apply", "detect", "audit", "user"] {
        let help = node.run_plain(&[command, "--help"]);
        assert!(help.status.success(), "{command}");
        assert!(text(&help.stdout).contains("Usage: sottovoce"), "{command}");
    }
    assert_eq!(node.run_plain(&["sevre"]).status.code(), Some(2));
}

/// With a cargo that writes down how it was called and builds a program that does nothing.
#[test]
fn a_build_is_told_before_it_begins_and_shows_how_far_it_is() {
    let node = Node::new();
    let cargo = node.folder.join("cargo");
    let script = "#!/bin/sh\necho \"Compiling with $*\" >&2\nmkdir -p \"$CARGO_TARGET_DIR/debug\"\n\
                  cp /bin/true \"$CARGO_TARGET_DIR/debug/sottovoce\"\n";
    fs::write(&cargo, script).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();

    let run = || {
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("run"))
            .arg("sottovoce")
            .env("PATH", format!("{}:{path}", node.folder.display()))
            .env("CARGO_TARGET_DIR", node.folder.join("target"))
            .env_remove("PROFILE")
            .output()
            .unwrap()
    };
    let (first, second) = (run(), run());

    let told = text(&first.stderr);
    let (before, after) = told.split_once("Compiling with ").unwrap();
    assert_eq!(
        before,
        "run: building sottovoce and all that it stands on: minutes, the first time\n"
    );
    for said in [after, &text(&second.stderr)] {
        assert!(
            said.contains("build") && !said.contains("--quiet"),
            "{said}"
        );
    }
    assert!(!text(&second.stderr).contains("the first time"));
    assert!(first.stdout.is_empty() && first.status.success() && second.status.success());
}

/// A folder with a configuration in it. Goes when it is dropped.
struct Node {
    folder: PathBuf,
}

impl Node {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sottovoce-cli-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.join("sottovoce.toml"), text).unwrap();
    }

    /// Ports that are free, and more; how many lines that makes.
    fn configure(&self, more: &str) -> usize {
        let free = || {
            let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
            // Outside the ports of RTP, which lie below the system's own choice.
            socket.local_addr().unwrap().port()
        };
        let text = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:{}\"]\n[http]\nlisten = \"127.0.0.1:{}\"\n\
             [rtp]\nports = \"10000-10099\"\n{more}",
            free(),
            free(),
        );
        self.write(&text);
        text.lines().count()
    }

    fn database(&self) -> PathBuf {
        self.folder.join("data/sottovoce.db")
    }

    /// A command with the node's configuration, from the folder that it is in.
    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let config = ["--config", "sottovoce.toml"];
        self.command(&[arguments, &config].concat(), input)
    }

    fn run_plain(&self, arguments: &[&str]) -> Output {
        self.command(arguments, "")
    }

    fn begin(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_sottovoce"))
            .args(arguments)
            .current_dir(&self.folder)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn command(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self.begin(arguments);
        // A command that reads nothing may be gone by now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    #[tokio::main(flavor = "current_thread")]
    async fn write_audit(&self, count: u64) {
        let url = DatabaseUrl::Sqlite(self.database());
        let store = Store::open(&url, "node-1").await.unwrap();
        let (sender, mut answers) = tokio::sync::mpsc::channel(16);
        let recorder = store.start_writer(sender);
        for id in 0..count {
            let row = AuditRow {
                organisation: Some("acme".into()),
                actor: if id == 0 { "mia, the first" } else { "mia" }.into(),
                source: Source::Phone,
                call: None,
                session: None,
                agent: None,
                customer: None,
                action: "join",
                detail: None,
                role_before: None,
                role_after: None,
                outcome: Outcome::Done,
                code: None,
                help_request: None,
            };
            let at_ms = 1_000 * (id as i64 + 1);
            recorder
                .record(RecordId(id), at_ms, Record::Audit(row))
                .unwrap();
            let answer = answers.recv().await.unwrap();
            assert!(matches!(answer, StoreAnswer::Recorded(_)));
        }
        store.close().await;
    }

    #[tokio::main(flavor = "current_thread")]
    async fn sql(&self, sql: &'static str) {
        let url = format!("sqlite:{}", self.database().display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        pool.close().await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let node = Node::new();

    let output = node.run_plain(&["audit", "verify", "--config", "nowhere.toml"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nowhere.toml: "));
    assert!(!Path::new("nowhere.toml").exists());
}
