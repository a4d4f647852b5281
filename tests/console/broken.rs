//! A test that fails leaves nothing behind.

use crate::browser::Browser;
use crate::processes;
use crate::scene::wait_until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_that_panics_leaves_no_browser_behind() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let failing = tokio::spawn(async move {
        // It opens no page: nobody needs to be there.
        let browser = Browser::at("http://127.0.0.1:9", "en-GB").await;
        let profile = browser.profile().to_owned();
        let used_by = processes::that_name(&profile).len();
        tell.send((profile, used_by)).expect("somebody listens");
        panic!("as a test does that fails");
    });

    let ended = failing.await;

    assert!(ended.is_err_and(|error| error.is_panic()));
    let (profile, used_by) = told.await.expect("it was told before");
    assert!(used_by > 0, "the browser was running");
    wait_until("the browser is gone", || {
        processes::that_name(&profile).is_empty()
    })
    .await;
    assert!(!profile.exists(), "and so is its profile");
}
