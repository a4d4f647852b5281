//! What those may hold who look at the running service or ask something of it.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::control::directory::Directory;
use crate::control::input::{Ask, Operator, Reply};
use crate::control::output::Notice;
use crate::control::snapshot::Snapshot;

/// Notices that a slow reader may be behind. Beyond it the oldest are missed, and the reader takes
/// a fresh snapshot.
const MAX_NOTICES: usize = 2048;

/// Operators' questions that wait. Beyond it the operator is told that the service is busy.
const MAX_QUESTIONS: usize = 256;

/// A click or an API call on its way to call control.
#[derive(Debug)]
pub struct Question {
    pub who: Operator,
    pub ask: Ask,
    pub answer: oneshot::Sender<Reply>,
}

/// Call control has more to do than it can: 9010.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service is busy")]
pub struct Busy;

/// The view from outside. Cloned freely.
#[derive(Clone, Debug)]
pub struct Live {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    notices: broadcast::Sender<Notice>,
    questions: mpsc::Sender<Question>,
}

/// The other end, which call control's driver holds.
#[derive(Debug)]
pub struct LiveSource {
    pub snapshots: watch::Sender<Arc<Snapshot>>,
    pub notices: broadcast::Sender<Notice>,
    pub questions: mpsc::Receiver<Question>,
}

pub fn live() -> (Live, LiveSource) {
    let (snapshot_sender, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let (notices, _) = broadcast::channel(MAX_NOTICES);
    let (asking, questions) = mpsc::channel(MAX_QUESTIONS);
    let live = Live {
        snapshots,
        notices: notices.clone(),
        questions: asking,
    };
    let source = LiveSource {
        snapshots: snapshot_sender,
        notices,
        questions,
    };
    (live, source)
}

impl Live {
    /// The service as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// The service as it changes.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// What happens from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Asks call control and waits for the answer: for a role, until the mix is in force.
    pub async fn ask(&self, who: Operator, ask: Ask) -> Result<Reply, Busy> {
        let (answer, reply) = oneshot::channel();
        self.questions
            .try_send(Question { who, ask, answer })
            .map_err(|_| Busy)?;
        reply.await.map_err(|_| Busy)
    }
}

/// The people as they are now, and the way to have changes looked at. Cloned freely.
#[derive(Clone, Debug)]
pub struct PeopleView {
    directory: watch::Receiver<Arc<Directory>>,
    reload: mpsc::Sender<oneshot::Sender<()>>,
}

/// The other end, which the watcher of the database holds.
#[derive(Debug)]
pub struct PeopleSource {
    pub directory: watch::Sender<Arc<Directory>>,
    pub reload: mpsc::Receiver<oneshot::Sender<()>>,
}

/// Writers of people that wait until it is in force. Beyond it the next one waits for its turn.
const MAX_RELOADS: usize = 16;

pub fn people(directory: Arc<Directory>) -> (PeopleView, PeopleSource) {
    let (directory_sender, directory) = watch::channel(directory);
    let (reload, reloads) = mpsc::channel(MAX_RELOADS);
    let source = PeopleSource {
        directory: directory_sender,
        reload: reloads,
    };
    (PeopleView { directory, reload }, source)
}

impl PeopleView {
    /// Everybody, as call control knows them.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.borrow().clone()
    }

    /// Everybody as they change.
    pub fn changes(&self) -> watch::Receiver<Arc<Directory>> {
        self.directory.clone()
    }

    /// Has the database read again, and waits until what it says is in force. Fails when it cannot
    /// be read; those known stay.
    pub async fn reload(&self) -> Result<(), Busy> {
        let (done, in_force) = oneshot::channel();
        self.reload.send(done).await.map_err(|_| Busy)?;
        in_force.await.map_err(|_| Busy)
    }
}
