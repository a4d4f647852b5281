//! The console in a real browser, with real calls behind it: a headless Chromium, driven as a
//! person would, and the phones of the demo.

mod broken;
mod browser;
#[path = "../common/code.rs"]
mod code;
mod desk;
mod first_run;
mod keep;
mod listening;
mod many;
mod pages;
mod people;
mod phone;
mod processes;
#[allow(dead_code)]
#[path = "../web/receiver.rs"]
mod receiver;
mod records;
#[allow(dead_code)]
#[path = "../calls/scene.rs"]
mod scene;
mod screens;
mod touch;
mod webhooks;
