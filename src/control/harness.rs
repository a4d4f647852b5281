//! For the tests of call control: a switchboard, and a world around it that does what it is asked.
//!
//! In the [`house`] calls are made by signals alone, and what was signalled is read. On the
//! [`stage`] a call stands, and a supervisor works it by keys.

pub mod acme;
pub mod descriptions;
pub mod house;
pub mod stage;
pub mod words;
