//! Names of things that cross floors. Each is a newtype: `LegId(7)` and `BridgeId(7)` do not compare.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:x}", self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                <$inner>::from_str_radix(text, 16).map(Self)
            }
        }
    )*};
}

ids! {
    /// One agent–customer conversation. Unique for ever: see [`Ids`].
    CallId(u64);
    /// One dialog, and the media that belongs to it.
    LegId(u64);
    /// One call's audio.
    BridgeId(u64);
    /// One supervisor attached to one call.
    SessionId(u64);
    /// A help request of an agent.
    HelpId(u64);
    /// A question whose answer comes later (re-INVITE, console request, PIN check).
    RequestId(u64);
    /// One `Play` command, so that its end can be told from another's.
    PlayId(u64);
    /// One record for the store, so that its durability can be told.
    RecordId(u64);
    /// A media thread.
    ShardId(u16);
    /// A version of a bridge's matrix.
    Generation(u32);
}

/// A prompt file's stem, such as `listening`: interned by whoever reads the prompt folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PromptId(pub &'static str);

/// An index into the languages that were loaded; 0 is the node's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(pub u8);

/// Deals out ids from one counter. The edge seeds it with the time of the start
/// (`seconds since 2025 << 24`), so that an id is never dealt twice by a node.
#[derive(Debug)]
pub struct Ids {
    next: u64,
}

impl Ids {
    pub fn starting_at(first: u64) -> Self {
        Self { next: first }
    }

    pub fn next_id(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }
}
