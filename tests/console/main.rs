//! The console in a real browser, with real calls behind it: a headless Chromium, driven as a
//! person would, and the phones of the demo.

mod browser;
mod desk;
mod keep;
mod listening;
mod many;
mod pages;
mod people;
#[allow(dead_code)]
#[path = "../calls/scene.rs"]
mod scene;
mod screens;
