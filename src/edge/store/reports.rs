//! What supervision there was, added up by the database: sessions, how long they lasted and in
//! which roles, and how soon requests for help were taken.
//!
//! A session counts with its whole length in the period that it began in; one that still runs
//! counts up to now. Its roles are read from the audit: each row of something that was done and
//! led to a role holds until the next one, or until the session ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::edge::store::db::{Tx, rows};
use crate::edge::store::{Sight, Store, StoreError, csv_lines};

/// What the lines of a report are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    #[default]
    Supervisor,
    Agent,
    Pool,
    Role,
}

/// When sessions began and help was asked for. Milliseconds in UTC, `from` included and `to` not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
}

/// One supervisor, agent, pool or role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub organisation: String,
    /// User name, extension, name of the pool or of the role; `None`: sessions on calls that no
    /// pool routed, of agents who are in none or in several.
    pub key: Option<String>,
    pub sessions: i64,
    /// Of all sessions together; by role, of the time in it.
    pub duration_ms: i64,
    pub longest_ms: i64,
    pub roles: RoleTime,
    pub help: HelpTime,
}

/// How long sessions were in each role, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct RoleTime {
    pub monitor_ms: i64,
    pub coach_ms: i64,
    pub whisper_caller_ms: i64,
    pub barge_ms: i64,
    pub takeover_ms: i64,
}

impl RoleTime {
    /// All the time in the role of this name.
    fn in_one(role: Option<&str>, ms: i64) -> Self {
        let mut time = Self::default();
        match role {
            Some("monitor") => time.monitor_ms = ms,
            Some("coach") => time.coach_ms = ms,
            Some("whisper_caller") => time.whisper_caller_ms = ms,
            Some("barge") => time.barge_ms = ms,
            Some("takeover") => time.takeover_ms = ms,
            _ => {}
        }
        time
    }
}

/// Requests for help, and how long they waited for a supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct HelpTime {
    /// Raised; by supervisor, those that the supervisor took.
    pub requests: i64,
    pub accepted: i64,
    /// From the request to its acceptance; `None` where none was accepted.
    pub response_mean_ms: Option<i64>,
    pub response_longest_ms: Option<i64>,
}

/// Chosen sessions with their keys. `$1` what the key is, `$2` and `$3` the period, `$4` now, `$5`
/// organisation and `$6` user of whoever may not see everything.
macro_rules! sessions {
    ($rest:literal) => {
        concat!(
            "WITH mine AS (SELECT a.extension FROM agent_pools a JOIN supervisor_pools p \
             ON p.organisation = a.organisation AND p.pool = a.pool \
             WHERE p.organisation = $5 AND p.user_name = $6), \
             chosen AS (SELECT s.id, s.organisation, s.started_ms, \
             COALESCE(s.ended_ms, $4) AS ended_ms, \
             CASE $1 WHEN 'supervisor' THEN s.supervisor WHEN 'agent' THEN c.agent \
             WHEN 'pool' THEN k.pool END AS about \
             FROM sessions s LEFT JOIN calls c ON c.id = s.call \
             LEFT JOIN call_pools k ON k.call = s.call \
             WHERE s.started_ms >= $2 AND s.started_ms < $3 \
             AND ($5 IS NULL OR s.organisation = $5) \
             AND ($6 IS NULL OR s.supervisor = $6 OR c.agent IN (SELECT extension FROM mine))), \
             marks AS (SELECT c.id, c.organisation, c.about, a.role_after AS role, a.at_ms, \
             COALESCE(LEAD(a.at_ms) OVER (PARTITION BY a.session ORDER BY a.seq), c.ended_ms) \
             AS until_ms FROM audit a JOIN chosen c ON c.id = a.session \
             WHERE a.role_after IS NOT NULL AND a.outcome = 'done') ",
            $rest
        )
    };
}

const SESSIONS: &str = sessions!(
    "SELECT organisation, about, COUNT(*) AS sessions, \
     CAST(COALESCE(SUM(ended_ms - started_ms), 0) AS BIGINT) AS duration_ms, \
     CAST(COALESCE(MAX(ended_ms - started_ms), 0) AS BIGINT) AS longest_ms \
     FROM chosen GROUP BY organisation, about"
);

const SESSIONS_IN_ROLE: &str = sessions!(
    "SELECT organisation, role AS about, COUNT(DISTINCT id) AS sessions, \
     CAST(COALESCE(SUM(until_ms - at_ms), 0) AS BIGINT) AS duration_ms, \
     CAST(COALESCE(MAX(until_ms - at_ms), 0) AS BIGINT) AS longest_ms \
     FROM marks GROUP BY organisation, role"
);

const ROLE_TIME: &str = sessions!(
    "SELECT organisation, about, \
     CAST(SUM(CASE role WHEN 'monitor' THEN until_ms - at_ms ELSE 0 END) AS BIGINT) \
     AS monitor_ms, \
     CAST(SUM(CASE role WHEN 'coach' THEN until_ms - at_ms ELSE 0 END) AS BIGINT) AS coach_ms, \
     CAST(SUM(CASE role WHEN 'whisper_caller' THEN until_ms - at_ms ELSE 0 END) AS BIGINT) \
     AS whisper_caller_ms, \
     CAST(SUM(CASE role WHEN 'barge' THEN until_ms - at_ms ELSE 0 END) AS BIGINT) AS barge_ms, \
     CAST(SUM(CASE role WHEN 'takeover' THEN until_ms - at_ms ELSE 0 END) AS BIGINT) \
     AS takeover_ms \
     FROM marks GROUP BY organisation, about"
);

const HELP: &str = "WITH mine AS (SELECT a.extension FROM agent_pools a JOIN supervisor_pools p \
     ON p.organisation = a.organisation AND p.pool = a.pool \
     WHERE p.organisation = $4 AND p.user_name = $5), \
     chosen AS (SELECT h.organisation, h.requested_ms, h.accepted_ms, \
     CASE $1 WHEN 'supervisor' THEN h.provided_by WHEN 'agent' THEN h.agent \
     WHEN 'pool' THEN k.pool END AS about \
     FROM help_requests h LEFT JOIN call_pools k ON k.call = h.call \
     WHERE h.requested_ms >= $2 AND h.requested_ms < $3 \
     AND ($1 <> 'supervisor' OR h.provided_by IS NOT NULL) \
     AND ($4 IS NULL OR h.organisation = $4) \
     AND ($5 IS NULL OR h.provided_by = $5 OR h.agent IN (SELECT extension FROM mine))) \
     SELECT organisation, about, COUNT(*) AS requests, COUNT(accepted_ms) AS accepted, \
     CAST(AVG(accepted_ms - requested_ms) AS BIGINT) AS response_mean_ms, \
     CAST(MAX(accepted_ms - requested_ms) AS BIGINT) AS response_longest_ms \
     FROM chosen GROUP BY organisation, about";

#[derive(FromRow)]
struct Keyed<T> {
    organisation: String,
    about: Option<String>,
    #[sqlx(flatten)]
    figures: T,
}

#[derive(FromRow)]
struct Sessions {
    sessions: i64,
    duration_ms: i64,
    longest_ms: i64,
}

impl By {
    pub fn name(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Agent => "agent",
            Self::Pool => "pool",
            Self::Role => "role",
        }
    }
}

impl Store {
    /// The report, a line for whatever it is by, in the order of organisation and key.
    pub async fn supervision_report(
        &self,
        by: By,
        period: Period,
        sight: &Sight,
        now_ms: i64,
    ) -> Result<Vec<Line>, StoreError> {
        let mut lines = BTreeMap::new();
        let mut tx = self.db().begin_reading().await?;
        let sql = match by {
            By::Role => SESSIONS_IN_ROLE,
            By::Supervisor | By::Agent | By::Pool => SESSIONS,
        };
        for row in keyed::<Sessions>(&mut tx, sql, by, period, sight, now_ms).await? {
            let roles = match by {
                By::Role => RoleTime::in_one(row.about.as_deref(), row.figures.duration_ms),
                By::Supervisor | By::Agent | By::Pool => RoleTime::default(),
            };
            let line = line(&mut lines, row.organisation, row.about);
            line.roles = roles;
            line.sessions = row.figures.sessions;
            line.duration_ms = row.figures.duration_ms;
            line.longest_ms = row.figures.longest_ms;
        }
        if by != By::Role {
            for row in keyed::<RoleTime>(&mut tx, ROLE_TIME, by, period, sight, now_ms).await? {
                line(&mut lines, row.organisation, row.about).roles = row.figures;
            }
            let help = rows!(
                &mut tx,
                Keyed<HelpTime>,
                HELP,
                by.name(),
                period.from(),
                period.to(),
                sight.organisation(),
                sight.user(),
            )?;
            for row in help {
                line(&mut lines, row.organisation, row.about).help = row.figures;
            }
        }
        tx.roll_back().await?;
        Ok(lines.into_values().collect())
    }
}

async fn keyed<T>(
    tx: &mut Tx,
    sql: &'static str,
    by: By,
    period: Period,
    sight: &Sight,
    now_ms: i64,
) -> Result<Vec<Keyed<T>>, sqlx::Error>
where
    T: Send
        + Unpin
        + for<'r> FromRow<'r, sqlx::sqlite::SqliteRow>
        + for<'r> FromRow<'r, sqlx::postgres::PgRow>,
{
    rows!(
        tx,
        Keyed<T>,
        sql,
        by.name(),
        period.from(),
        period.to(),
        now_ms,
        sight.organisation(),
        sight.user(),
    )
}

type Lines = BTreeMap<(String, Option<String>), Line>;

fn line(lines: &mut Lines, organisation: String, key: Option<String>) -> &mut Line {
    let entry = lines.entry((organisation.clone(), key.clone()));
    entry.or_insert_with(|| Line {
        organisation,
        key,
        ..Line::default()
    })
}

impl Period {
    fn from(self) -> i64 {
        self.from_ms.unwrap_or(i64::MIN)
    }

    fn to(self) -> i64 {
        self.to_ms.unwrap_or(i64::MAX)
    }
}

/// A line under the names that people and programs see. Seconds are whole and fractions.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReportEntry {
    pub organisation: String,
    /// The user name, the extension, the pool or the role. A call that no pool routed counts for the
    /// one pool of its agent; none where the agent is in several, or in none.
    pub key: Option<String>,
    pub sessions: i64,
    pub duration_s: f64,
    pub longest_s: f64,
    pub monitor_s: f64,
    pub coach_s: f64,
    pub whisper_caller_s: f64,
    pub barge_s: f64,
    pub takeover_s: f64,
    pub help_requests: i64,
    pub help_accepted: i64,
    /// From a request for help to its acceptance.
    pub help_response_mean_s: Option<f64>,
    pub help_response_longest_s: Option<f64>,
}

/// The columns of the CSV, in the order of [`ReportEntry`].
const COLUMNS: [&str; 14] = [
    "organisation",
    "key",
    "sessions",
    "duration_s",
    "longest_s",
    "monitor_s",
    "coach_s",
    "whisper_caller_s",
    "barge_s",
    "takeover_s",
    "help_requests",
    "help_accepted",
    "help_response_mean_s",
    "help_response_longest_s",
];

impl ReportEntry {
    /// A report as lines of RFC 4180, the first one names the columns.
    pub fn csv(entries: &[Self]) -> Result<String, StoreError> {
        csv_lines(Some(&COLUMNS), entries)
    }
}

impl From<Line> for ReportEntry {
    fn from(line: Line) -> Self {
        Self {
            organisation: line.organisation,
            key: line.key,
            sessions: line.sessions,
            duration_s: seconds(line.duration_ms),
            longest_s: seconds(line.longest_ms),
            monitor_s: seconds(line.roles.monitor_ms),
            coach_s: seconds(line.roles.coach_ms),
            whisper_caller_s: seconds(line.roles.whisper_caller_ms),
            barge_s: seconds(line.roles.barge_ms),
            takeover_s: seconds(line.roles.takeover_ms),
            help_requests: line.help.requests,
            help_accepted: line.help.accepted,
            help_response_mean_s: line.help.response_mean_ms.map(seconds),
            help_response_longest_s: line.help.response_longest_ms.map(seconds),
        }
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_csv_and_the_names_of_json_are_the_same() {
        let json = serde_json::to_string(&ReportEntry::from(Line::default())).unwrap();

        let mut at = 0;
        for column in COLUMNS {
            let found = json[at..].find(&format!("\"{column}\":"));
            at += found.unwrap_or_else(|| panic!("{column}: {json}"));
        }
        assert_eq!(json.matches("\":").count(), COLUMNS.len());
    }
}
