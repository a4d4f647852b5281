//! The HTTP side of a running service, with real calls behind it.

mod administration;
mod agents;
mod at_once;
mod audit;
mod authorisation;
mod call_me;
mod client;
mod crowd;
mod events;
mod help;
mod help_by_phone;
mod listing;
mod my_phone;
mod pages;
mod queries;
mod receiver;
mod roles;
mod schemathesis;
mod stream;
mod tickets;
mod webhooks;
mod world;

#[path = "../common/code.rs"]
mod code;
#[allow(dead_code)]
#[path = "../calls/scene.rs"]
mod scene;
