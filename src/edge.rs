//! Edge: where the pure floors meet the world.

pub mod catalogue;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod detect;
pub mod driver;
pub mod http;
pub mod live;
pub mod people;
pub mod prompts;
pub mod rtp;
pub mod service;
pub mod sip;
pub mod store;
pub mod telemetry;
pub mod webhooks;
