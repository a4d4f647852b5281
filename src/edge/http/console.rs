//! The console: pages for supervisors, agents and administrators, rendered here and sent whole.
//!
//! A page is right without its script; the script keeps it right. On every event of the stream it
//! asks for the page again and patches what differs, so that what may be seen is decided in one
//! place. Clicks go to the API, as anybody's script would.

mod acts;
mod agents;
mod answer;
mod assets;
mod audit;
mod calls;
mod cards;
mod chart;
mod contacts;
mod desk;
mod door;
mod frame;
mod help;
mod people;
pub mod plain;
mod reader;
mod reports;
mod supervising;
pub mod texts;
mod visitor;
mod webhooks;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};

use crate::edge::http::Web;

pub fn routes() -> Router<Web> {
    Router::new()
        .route("/", get(calls::home))
        .route("/agents", get(agents::show))
        .route("/supervising", get(supervising::show))
        .route("/help", get(help::show))
        .route("/audit", get(audit::show))
        .route("/audit.csv", get(audit::csv))
        .route("/reports", get(reports::show))
        .route("/reports.csv", get(reports::csv))
        .route("/people", get(people::show))
        .route("/contacts", get(contacts::show))
        .route("/webhooks", get(webhooks::show))
        .route("/sign-in", get(door::show).post(door::enter))
        .route("/language", post(door::language))
        .route("/assets/{name}", get(assets::serve))
        .layer(from_fn(plain::in_words))
}
