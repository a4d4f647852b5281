//! The whole system in virtual time: see `world`.

mod checks;
mod clamped;
mod doubled;
mod grid;
mod holds;
mod limits;
mod network;
mod phone;
mod random;
mod scenarios;
mod world;
