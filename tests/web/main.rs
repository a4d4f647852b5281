//! The HTTP side of a running service, with real calls behind it.

mod administration;
mod agents;
mod audit;
mod authorisation;
mod call_me;
mod client;
mod help;
mod listing;
mod my_phone;
mod roles;
mod schemathesis;
mod tickets;
mod world;

#[allow(dead_code)]
#[path = "../calls/scene.rs"]
mod scene;
