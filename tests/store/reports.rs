//! Figures of supervision, and the filters of the audit.

use sottovoce::control::record::{AuditRow, CallRow, HelpRow, HelpState, Outcome, Record, Source};
use sottovoce::edge::store::audit::export::{Export, Form};
use sottovoce::edge::store::audit::{Row, Selection};
use sottovoce::edge::store::reports::{By, HelpTime, Line, Period, RoleTime};
use sottovoce::edge::store::{Sight, Store};
use sottovoce::id::{CallId, HelpId, SessionId};

use crate::cases::{PEOPLE, REALM, Writer, audit_row, call_row, help_row, read};
use crate::databases::Database;

const DAY: i64 = 86_400_000;
const NOW: i64 = 10 * DAY;

pub async fn sessions_and_their_roles_are_added_up(database: Database) {
    let store = with_two_sessions(&database).await;

    let lines = report(&store, By::Supervisor, Sight::Everything).await;

    let mia = Line {
        organisation: "acme".into(),
        key: Some("mia".into()),
        sessions: 1,
        duration_ms: 60_000,
        longest_ms: 60_000,
        roles: RoleTime {
            monitor_ms: 10_000 + 25_000,
            coach_ms: 20_000,
            barge_ms: 5_000,
            ..RoleTime::default()
        },
        help: HelpTime::default(),
    };
    assert_eq!(lines[0], mia);
    // Still listening: counted up to now.
    assert_eq!(lines[1].key.as_deref(), Some("ona"));
    assert_eq!(lines[1].duration_ms, NOW - 5 * DAY);
    assert_eq!(lines[1].roles.monitor_ms, NOW - 5 * DAY);
    assert_eq!(lines.len(), 2);

    let by_pool = report(&store, By::Pool, Sight::Everything).await;
    let keys: Vec<_> = by_pool.iter().map(|line| line.key.as_deref()).collect();
    assert_eq!(keys, [None, Some("support")]);
    let by_agent = report(&store, By::Agent, Sight::Everything).await;
    let keys: Vec<_> = by_agent.iter().map(|line| line.key.as_deref()).collect();
    assert_eq!(keys, [Some("204"), Some("205")]);
    let by_role = report(&store, By::Role, Sight::Everything).await;
    let roles: Vec<_> = by_role
        .iter()
        .map(|line| {
            (
                line.key.as_deref().unwrap_or("-"),
                line.sessions,
                line.longest_ms,
            )
        })
        .collect();
    assert_eq!(
        roles,
        [
            ("barge", 1, 5_000),
            ("coach", 1, 20_000),
            ("monitor", 2, NOW - 5 * DAY)
        ]
    );
    let coached = by_role[1].roles;
    assert_eq!(coached.coach_ms, by_role[1].duration_ms);
    assert_eq!(coached.barge_ms + coached.monitor_ms, 0);

    let period = Period {
        from_ms: Some(2 * DAY),
        to_ms: None,
    };
    let later = store
        .supervision_report(By::Supervisor, period, &Sight::Everything, NOW)
        .await
        .unwrap();
    assert_eq!(later.len(), 1, "a session counts where it began");
    store.close().await;
}

pub async fn a_direct_call_counts_for_the_one_pool_of_its_agent(database: Database) {
    let store = with_two_sessions(&database).await;
    let name = "name = \"Eino\"\n";
    let in_pools = |pools: &str| PEOPLE.replace(name, &format!("{name}pools = [{pools}]\n"));
    let keys = async || {
        let by_pool = report(&store, By::Pool, Sight::Everything).await;
        let keys = by_pool.into_iter().map(|line| (line.key, line.sessions));
        keys.collect::<Vec<_>>()
    };
    let pool = |name: &str, sessions| (Some(name.to_owned()), sessions);

    // 204 is in two, but the call was routed by one; 205 was called directly.
    store
        .apply(&read(&in_pools("\"sales\"")), REALM, 1)
        .await
        .unwrap();
    assert_eq!(keys().await, [pool("sales", 1), pool("support", 1)]);
    let view = "SELECT supervisor, pool FROM supervision_sessions ORDER BY supervisor";
    let view = database.texts(view).await;
    assert_eq!(view, [["mia", "support"], ["ona", "sales"]]);

    store
        .apply(&read(&in_pools("\"sales\", \"support\"")), REALM, 1)
        .await
        .unwrap();
    assert_eq!(keys().await, [(None, 1), pool("support", 1)]);
    store.close().await;
}

pub async fn help_is_counted_with_the_time_that_it_waited(database: Database) {
    let store = database.store().await;
    let mut writer = Writer::start(&store);
    writer.hand_in_at(DAY, Record::CallStarted(call_row(CallId(0xabc))));
    for (id, asked, taken) in [
        (1, DAY, Some(DAY + 4_000)),
        (2, DAY + 10_000, Some(DAY + 12_000)),
        (3, DAY + 20_000, None),
    ] {
        writer.hand_in_at(
            asked,
            Record::Help(help_row(HelpId(id), HelpState::Requested)),
        );
        if let Some(taken) = taken {
            let row = HelpRow {
                provided_by: Some("mia".into()),
                ..help_row(HelpId(id), HelpState::InProgress)
            };
            writer.hand_in_at(taken, Record::Help(row));
        }
    }
    writer.until_all_are_recorded().await;

    let figures = |requests| HelpTime {
        requests,
        accepted: 2,
        response_mean_ms: Some(3_000),
        response_longest_ms: Some(4_000),
    };
    let by_agent = report(&store, By::Agent, Sight::Everything).await;
    assert_eq!(by_agent[0].help, figures(3));
    let by_supervisor = report(&store, By::Supervisor, Sight::Everything).await;
    assert_eq!(by_supervisor[0].key.as_deref(), Some("mia"));
    assert_eq!(by_supervisor[0].help, figures(2));
    let by_pool = report(&store, By::Pool, Sight::Everything).await;
    assert_eq!(by_pool[0].key.as_deref(), Some("support"));
    assert_eq!(by_pool[0].help, figures(3));
    store.close().await;
}

pub async fn the_views_say_what_the_reports_say(database: Database) {
    let store = with_two_sessions(&database).await;

    let roles = database
        .texts(
            "SELECT supervisor, agent, role, CAST(SUM(until_ms - from_ms) AS TEXT) \
             FROM supervision_roles WHERE until_ms IS NOT NULL \
             GROUP BY supervisor, agent, role ORDER BY role",
        )
        .await;
    assert_eq!(
        roles,
        [
            ["mia", "204", "barge", "5000"],
            ["mia", "204", "coach", "20000"],
            ["mia", "204", "monitor", "35000"],
        ]
    );
    let sessions = database
        .texts(
            "SELECT supervisor, pool, CAST(ended_ms - started_ms AS TEXT) \
             FROM supervision_sessions ORDER BY supervisor",
        )
        .await;
    assert_eq!(sessions, [["mia", "support", "60000"], ["ona", "-", "-"]]);
    let mut writer = Writer::start(&store);
    let requested = help_row(HelpId(1), HelpState::Requested);
    writer.hand_in_at(DAY, Record::Help(requested));
    let taken = help_row(HelpId(1), HelpState::InProgress);
    writer.hand_in_at(DAY + 4_000, Record::Help(taken));
    writer.until_all_are_recorded().await;
    let responses = database
        .texts("SELECT agent, state, CAST(response_ms AS TEXT) FROM help_responses")
        .await;
    assert_eq!(responses, [["204", "in_progress", "4000"]]);
    store.close().await;
}

pub async fn a_supervisor_sees_their_own_and_their_agents(database: Database) {
    let store = with_two_sessions(&database).await;
    let name = "name = \"Eino\"\n";
    let people = PEOPLE.replace(name, &format!("{name}pools = [\"support\"]\n"));
    store.apply(&read(&people), REALM, 1).await.unwrap();
    let sight = |organisation: &str, user: &str| Sight::Supervisor {
        organisation: organisation.into(),
        user: user.into(),
    };

    // 204 and 205 are in support, and support is Mia's.
    let everything = report(&store, By::Supervisor, Sight::Everything).await;
    assert_eq!(
        report(&store, By::Supervisor, sight("acme", "mia")).await,
        everything
    );
    let own = report(&store, By::Supervisor, sight("acme", "ona")).await;
    assert_eq!(own, everything[1..]);
    assert_eq!(
        report(&store, By::Supervisor, sight("umbrella", "mia")).await,
        []
    );

    let rows = |sight| {
        let selection = Selection {
            sight,
            ..Selection::default()
        };
        let store = store.clone();
        async move { store.audit_page(&selection, 0).await.unwrap().len() }
    };
    let rows_of = async |actor: &str| {
        let selection = Selection {
            supervisor: Some(actor.to_owned()),
            ..Selection::default()
        };
        store.audit_page(&selection, 0).await.unwrap().len()
    };
    // Beside what applying the people put there, which is nobody's of the organisation.
    let applied = rows_of("command-line").await;
    let all = rows(Sight::Everything).await - applied;
    assert!(applied > 0);
    assert_eq!(rows(sight("acme", "mia")).await, all);
    assert_eq!(rows(sight("acme", "ona")).await, 1);
    assert_eq!(rows(sight("umbrella", "mia")).await, 0);

    // Others are called Ona, too: an administrator, an agent who asks for help.
    let by = |source, action, agent: Option<&str>| Row {
        organisation: Some("acme".into()),
        agent: agent.map(str::to_owned),
        ..Row::by("ona", source, action, DAY)
    };
    let others = vec![
        by(Source::Api, "admin_people", None),
        by(Source::System, "help_cancel", None),
        by(Source::Phone, "help_raise", Some("ona")),
    ];
    store.audit(others).await.unwrap();
    assert_eq!(rows(sight("acme", "ona")).await, 1);
    let own = by(Source::Console, "help_accept", Some("999"));
    store.audit(vec![own]).await.unwrap();
    assert_eq!(rows(sight("acme", "ona")).await, 2);
    store.close().await;
}

pub async fn the_audit_is_filtered_as_it_is_asked_for(database: Database) {
    let store = with_two_sessions(&database).await;
    let select = |change: fn(&mut Selection)| {
        let mut selection = Selection::default();
        change(&mut selection);
        let store = store.clone();
        async move { store.audit_page(&selection, 0).await.unwrap().len() }
    };

    assert_eq!(select(|_| {}).await, 6);
    assert_eq!(select(|s| s.supervisor = Some("ona".into())).await, 1);
    assert_eq!(select(|s| s.agent = Some("204".into())).await, 5);
    assert_eq!(select(|s| s.call = Some("b".into())).await, 1);
    assert_eq!(select(|s| s.from_ms = Some(2 * DAY)).await, 1);
    assert_eq!(select(|s| s.to_ms = Some(DAY + 11_000)).await, 2);

    let newest = store
        .audit_before(&Selection::default(), None, 2)
        .await
        .unwrap();
    let order: Vec<_> = newest.iter().map(|row| row.seq).collect();
    assert_eq!(order, [6, 5]);
    let before = store
        .audit_before(&Selection::default(), Some(5), 10)
        .await
        .unwrap();
    assert_eq!(before.len(), 4);

    for form in [Form::Csv, Form::Json] {
        let mut export = Export::new(store.clone(), Selection::default(), form);
        let mut text = String::new();
        while let Some(piece) = export.next().await.unwrap() {
            text += &piece;
        }
        match form {
            Form::Csv => assert_eq!(text.lines().count(), 7, "{text}"),
            Form::Json => {
                let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(json["audit"].as_array().unwrap().len(), 6);
                assert_eq!(json["audit"][1]["role_after"], "coach");
            }
        }
    }
    store.close().await;
}

/// Mia listens, coaches, barges and listens again on a call of 204; four days later Ona listens to
/// 205, whose call no pool routed, and still does.
async fn with_two_sessions(database: &Database) -> Store {
    let store = database.store().await;
    let mut writer = Writer::start(&store);
    let mut at = |ms, record| {
        writer.hand_in_at(ms, record);
    };
    at(DAY, Record::CallStarted(call_row(CallId(0xa))));
    at(
        5 * DAY,
        Record::CallStarted(CallRow {
            agent: Some("205".into()),
            pool: None,
            ..call_row(CallId(0xb))
        }),
    );
    for (session, call, supervisor, started) in [(1, 0xa, "mia", DAY), (2, 0xb, "ona", 5 * DAY)] {
        at(
            started,
            Record::SessionStarted {
                session: SessionId(session),
                call: CallId(call),
                organisation: "acme".into(),
                supervisor: supervisor.into(),
            },
        );
    }
    let role = |role_after, outcome| {
        Record::Audit(AuditRow {
            call: Some(CallId(0xa)),
            session: Some(SessionId(1)),
            role_after: Some(role_after),
            outcome,
            ..audit_row("role")
        })
    };
    at(DAY, role("monitor", Outcome::Done));
    at(DAY + 10_000, role("coach", Outcome::Done));
    at(DAY + 15_000, role("takeover", Outcome::Refused));
    at(DAY + 30_000, role("barge", Outcome::Done));
    at(DAY + 35_000, role("monitor", Outcome::Done));
    at(
        DAY + 60_000,
        Record::SessionEnded {
            session: SessionId(1),
            cause: "hung up".into(),
        },
    );
    at(
        5 * DAY,
        Record::Audit(AuditRow {
            actor: "ona".into(),
            agent: Some("205".into()),
            call: Some(CallId(0xb)),
            session: Some(SessionId(2)),
            role_after: Some("monitor"),
            ..audit_row("join")
        }),
    );
    writer.until_all_are_recorded().await;
    store
}

async fn report(store: &Store, by: By, sight: Sight) -> Vec<Line> {
    store
        .supervision_report(by, Period::default(), &sight, NOW)
        .await
        .unwrap()
}
