//! Rows of the people's tables, read and written.

use std::collections::{BTreeMap, BTreeSet};

use crate::edge::store::db::{Tx, execute, rows};
use crate::edge::store::people::{StoredAgent, StoredOrganisation, StoredPool, StoredSupervisor};
use crate::edge::store::secrets::Ha1;

type Stored = BTreeMap<String, StoredOrganisation>;

/// Everybody. The people of a node are few enough to be read whole.
pub(super) async fn read(tx: &mut Tx) -> Result<Stored, sqlx::Error> {
    let mut stored: Stored = rows!(
        &mut *tx,
        (String, String, i64, Option<String>, i64),
        "SELECT id, name, supervision, agent_notice, help_keys FROM organisations"
    )?
    .into_iter()
    .map(|(id, name, supervision, agent_notice, help_keys)| {
        let organisation = StoredOrganisation {
            name,
            supervision: supervision != 0,
            agent_notice,
            help_keys: help_keys != 0,
            ..StoredOrganisation::default()
        };
        (id, organisation)
    })
    .collect();

    for (organisation, number) in rows!(
        &mut *tx,
        (String, String),
        "SELECT organisation, number FROM supervising_numbers ORDER BY position"
    )? {
        if let Some(organisation) = stored.get_mut(&organisation) {
            organisation.supervising_numbers.push(number);
        }
    }
    for (organisation, name, agent_notice) in rows!(
        &mut *tx,
        (String, String, Option<String>),
        "SELECT organisation, name, agent_notice FROM pools"
    )? {
        if let Some(organisation) = stored.get_mut(&organisation) {
            organisation.pools.insert(name, StoredPool { agent_notice });
        }
    }
    read_agents(tx, &mut stored).await?;
    read_supervisors(tx, &mut stored).await?;

    for (organisation, kind, who, md5, sha256) in rows!(
        &mut *tx,
        (String, String, String, String, String),
        "SELECT organisation, kind, who, ha1_md5, ha1_sha256 FROM sip_users"
    )? {
        let Some(organisation) = stored.get_mut(&organisation) else {
            continue;
        };
        let sip = Some(Ha1 { md5, sha256 });
        if kind == "agent" {
            if let Some(agent) = organisation.agents.get_mut(&who) {
                agent.sip = sip;
            }
        } else if let Some(supervisor) = organisation.supervisors.get_mut(&who) {
            supervisor.sip = sip;
        }
    }
    Ok(stored)
}

/// Names that administrators sign in with.
pub(super) async fn administrators(tx: &mut Tx) -> Result<BTreeSet<String>, sqlx::Error> {
    let names = rows!(tx, (String,), "SELECT user_name FROM administrators")?;
    Ok(names.into_iter().map(|(name,)| name).collect())
}

async fn read_agents(tx: &mut Tx, stored: &mut Stored) -> Result<(), sqlx::Error> {
    type Row = (
        String,
        String,
        String,
        Option<String>,
        Option<String>,
        Option<String>,
    );
    for (organisation, extension, name, contact, agent_notice, password_hash) in rows!(
        &mut *tx,
        Row,
        "SELECT organisation, extension, name, contact, agent_notice, password_hash FROM agents"
    )? {
        if let Some(organisation) = stored.get_mut(&organisation) {
            let agent = StoredAgent {
                name,
                contact,
                agent_notice,
                password_hash,
                ..StoredAgent::default()
            };
            organisation.agents.insert(extension, agent);
        }
    }
    for (organisation, extension, pool) in rows!(
        &mut *tx,
        (String, String, String),
        "SELECT organisation, extension, pool FROM agent_pools ORDER BY position"
    )? {
        let organisation = stored.get_mut(&organisation);
        if let Some(agent) = organisation.and_then(|o| o.agents.get_mut(&extension)) {
            agent.pools.push(pool);
        }
    }
    Ok(())
}

async fn read_supervisors(tx: &mut Tx, stored: &mut Stored) -> Result<(), sqlx::Error> {
    #[derive(sqlx::FromRow)]
    struct Row {
        organisation: String,
        user_name: String,
        name: String,
        default_country: Option<String>,
        agent_extension: Option<String>,
        pin_hash: Option<String>,
        password_hash: Option<String>,
        may: String,
        language: Option<String>,
        number: Option<String>,
    }
    for row in rows!(
        &mut *tx,
        Row,
        "SELECT s.organisation, s.user_name, s.name, s.default_country, s.agent_extension, \
         s.pin_hash, s.password_hash, s.may, s.language, p.number FROM supervisors s \
         LEFT JOIN phones p ON p.organisation = s.organisation AND p.user_name = s.user_name"
    )? {
        if let Some(organisation) = stored.get_mut(&row.organisation) {
            let supervisor = StoredSupervisor {
                name: row.name,
                phone: row.number,
                default_country: row.default_country,
                agent: row.agent_extension,
                may: row.may,
                language: row.language,
                pin_hash: row.pin_hash,
                password_hash: row.password_hash,
                ..StoredSupervisor::default()
            };
            organisation.supervisors.insert(row.user_name, supervisor);
        }
    }
    for (organisation, user, device) in rows!(
        &mut *tx,
        (String, String, String),
        "SELECT organisation, user_name, device FROM supervisor_devices ORDER BY position"
    )? {
        let organisation = stored.get_mut(&organisation);
        if let Some(supervisor) = organisation.and_then(|o| o.supervisors.get_mut(&user)) {
            supervisor.devices.push(device);
        }
    }
    for (organisation, user, pool) in rows!(
        &mut *tx,
        (String, String, String),
        "SELECT organisation, user_name, pool FROM supervisor_pools ORDER BY position"
    )? {
        let organisation = stored.get_mut(&organisation);
        if let Some(supervisor) = organisation.and_then(|o| o.supervisors.get_mut(&user)) {
            supervisor.pools.push(pool);
        }
    }
    Ok(())
}

pub(super) async fn write_organisation(
    tx: &mut Tx,
    id: &str,
    organisation: &StoredOrganisation,
) -> Result<(), sqlx::Error> {
    execute!(
        &mut *tx,
        "INSERT INTO organisations (id, name, supervision, agent_notice, help_keys) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
         supervision = excluded.supervision, agent_notice = excluded.agent_notice, \
         help_keys = excluded.help_keys",
        id,
        &organisation.name,
        i64::from(organisation.supervision),
        organisation.agent_notice.as_deref(),
        i64::from(organisation.help_keys),
    )?;
    remove_supervising_numbers(tx, id).await?;
    for (position, number) in organisation.supervising_numbers.iter().enumerate() {
        execute!(
            &mut *tx,
            "INSERT INTO supervising_numbers (number, organisation, position) \
             VALUES ($1, $2, $3)",
            number,
            id,
            position as i64,
        )?;
    }
    Ok(())
}

pub(super) async fn remove_supervising_numbers(
    tx: &mut Tx,
    organisation: &str,
) -> Result<(), sqlx::Error> {
    execute!(
        &mut *tx,
        "DELETE FROM supervising_numbers WHERE organisation = $1",
        organisation
    )?;
    Ok(())
}

pub(super) async fn write_pool(
    tx: &mut Tx,
    organisation: &str,
    name: &str,
    pool: &StoredPool,
) -> Result<(), sqlx::Error> {
    execute!(
        &mut *tx,
        "INSERT INTO pools (organisation, name, agent_notice) VALUES ($1, $2, $3) \
         ON CONFLICT (organisation, name) DO UPDATE SET agent_notice = excluded.agent_notice",
        organisation,
        name,
        pool.agent_notice.as_deref(),
    )?;
    Ok(())
}

pub(super) async fn remove_pool(
    tx: &mut Tx,
    organisation: &str,
    name: &str,
) -> Result<(), sqlx::Error> {
    execute!(
        &mut *tx,
        "DELETE FROM pools WHERE organisation = $1 AND name = $2",
        organisation,
        name
    )?;
    Ok(())
}

pub(super) async fn write_agent(
    tx: &mut Tx,
    organisation: &str,
    extension: &str,
    agent: &StoredAgent,
) -> Result<(), sqlx::Error> {
    remove_agent(tx, organisation, extension).await?;
    execute!(
        &mut *tx,
        "INSERT INTO agents (organisation, extension, name, contact, agent_notice, password_hash) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        organisation,
        extension,
        &agent.name,
        agent.contact.as_deref(),
        agent.agent_notice.as_deref(),
        agent.password_hash.as_deref(),
    )?;
    for (position, pool) in agent.pools.iter().enumerate() {
        execute!(
            &mut *tx,
            "INSERT INTO agent_pools (organisation, extension, pool, position) \
             VALUES ($1, $2, $3, $4)",
            organisation,
            extension,
            pool,
            position as i64,
        )?;
    }
    write_sip_user(tx, organisation, "agent", extension, agent.sip.as_ref()).await
}

pub(super) async fn remove_agent(
    tx: &mut Tx,
    organisation: &str,
    extension: &str,
) -> Result<(), sqlx::Error> {
    for sql in [
        "DELETE FROM agents WHERE organisation = $1 AND extension = $2",
        "DELETE FROM agent_pools WHERE organisation = $1 AND extension = $2",
        "DELETE FROM sip_users WHERE organisation = $1 AND kind = 'agent' AND who = $2",
    ] {
        execute!(&mut *tx, sql, organisation, extension)?;
    }
    Ok(())
}

pub(super) async fn write_supervisor(
    tx: &mut Tx,
    organisation: &str,
    user: &str,
    supervisor: &StoredSupervisor,
) -> Result<(), sqlx::Error> {
    remove_supervisor(tx, organisation, user).await?;
    execute!(
        &mut *tx,
        "INSERT INTO supervisors (organisation, user_name, name, default_country, \
         agent_extension, pin_hash, password_hash, may, language) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        organisation,
        user,
        &supervisor.name,
        supervisor.default_country.as_deref(),
        supervisor.agent.as_deref(),
        supervisor.pin_hash.as_deref(),
        supervisor.password_hash.as_deref(),
        &supervisor.may,
        supervisor.language.as_deref(),
    )?;
    if let Some(phone) = &supervisor.phone {
        execute!(
            &mut *tx,
            "INSERT INTO phones (organisation, user_name, number) VALUES ($1, $2, $3)",
            organisation,
            user,
            phone,
        )?;
    }
    for (position, device) in supervisor.devices.iter().enumerate() {
        execute!(
            &mut *tx,
            "INSERT INTO supervisor_devices (organisation, user_name, device, position) \
             VALUES ($1, $2, $3, $4)",
            organisation,
            user,
            device,
            position as i64,
        )?;
    }
    for (position, pool) in supervisor.pools.iter().enumerate() {
        execute!(
            &mut *tx,
            "INSERT INTO supervisor_pools (organisation, user_name, pool, position) \
             VALUES ($1, $2, $3, $4)",
            organisation,
            user,
            pool,
            position as i64,
        )?;
    }
    write_sip_user(
        tx,
        organisation,
        "supervisor",
        user,
        supervisor.sip.as_ref(),
    )
    .await
}

pub(super) async fn remove_supervisor(
    tx: &mut Tx,
    organisation: &str,
    user: &str,
) -> Result<(), sqlx::Error> {
    for sql in [
        "DELETE FROM supervisors WHERE organisation = $1 AND user_name = $2",
        "DELETE FROM phones WHERE organisation = $1 AND user_name = $2",
        "DELETE FROM supervisor_devices WHERE organisation = $1 AND user_name = $2",
        "DELETE FROM supervisor_pools WHERE organisation = $1 AND user_name = $2",
        "DELETE FROM sip_users WHERE organisation = $1 AND kind = 'supervisor' AND who = $2",
    ] {
        execute!(&mut *tx, sql, organisation, user)?;
    }
    Ok(())
}

/// Ends the sign-ins of somebody who is no longer there, so that the next one of that name does not
/// inherit them, and forgets a number that was not proven.
pub(super) async fn end_sign_ins(
    tx: &mut Tx,
    organisation: &str,
    kind: &str,
    who: &str,
) -> Result<(), sqlx::Error> {
    forget_sign_ins(tx, organisation, kind, who).await?;
    execute!(
        &mut *tx,
        "DELETE FROM phone_proofs WHERE organisation = $1 AND $2 = 'supervisor' \
         AND user_name = $3",
        organisation,
        kind,
        who
    )?;
    Ok(())
}

/// Removes an organisation that has nobody left. The generation of its contacts goes on, so that
/// no copy in memory is taken for that of a later one.
pub(super) async fn remove_organisation(tx: &mut Tx, id: &str) -> Result<(), sqlx::Error> {
    for sql in [
        "DELETE FROM organisations WHERE id = $1",
        "DELETE FROM supervising_numbers WHERE organisation = $1",
        "DELETE FROM contacts WHERE organisation = $1",
        "UPDATE contact_books SET generation = generation + 1 WHERE organisation = $1",
        "DELETE FROM webhook_deliveries WHERE webhook IN \
         (SELECT id FROM webhooks WHERE organisation = $1)",
        "DELETE FROM webhooks WHERE organisation = $1",
    ] {
        execute!(&mut *tx, sql, id)?;
    }
    Ok(())
}

/// The row of one that registers. The user name of an agent is the extension.
async fn write_sip_user(
    tx: &mut Tx,
    organisation: &str,
    kind: &str,
    who: &str,
    sip: Option<&Ha1>,
) -> Result<(), sqlx::Error> {
    if let Some(sip) = sip {
        execute!(
            &mut *tx,
            "INSERT INTO sip_users (user_name, organisation, kind, who, ha1_md5, ha1_sha256) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            who,
            organisation,
            kind,
            who,
            &sip.md5,
            &sip.sha256,
        )?;
    }
    Ok(())
}

/// Takes those off the watch lists who are no longer there, and with them their own lists.
pub(super) async fn forget_watches(tx: &mut Tx) -> Result<(), sqlx::Error> {
    execute!(
        &mut *tx,
        "DELETE FROM watchlist WHERE \
         NOT EXISTS (SELECT 1 FROM supervisors s WHERE s.organisation = watchlist.organisation \
         AND s.user_name = watchlist.user_name) OR \
         NOT EXISTS (SELECT 1 FROM agents a WHERE a.organisation = watchlist.organisation \
         AND a.extension = watchlist.extension)"
    )?;
    Ok(())
}

/// Whoever has signed in with a password that counts no more signs in again.
pub(in crate::edge::store) async fn forget_sign_ins(
    tx: &mut Tx,
    organisation: &str,
    kind: &str,
    who: &str,
) -> Result<(), sqlx::Error> {
    execute!(
        &mut *tx,
        "DELETE FROM http_sessions WHERE organisation = $1 AND kind = $2 AND user_name = $3",
        organisation,
        kind,
        who
    )?;
    Ok(())
}
