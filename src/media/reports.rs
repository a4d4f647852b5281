//! When a leg's RTCP is due, and what is in it (RFC 3550 §6.2 to §6.4, for a session of two).
//!
//! The interval is the least that §6.2 allows, five seconds, spread from half to one and a half of
//! it, so that reports of many legs do not go out together.

use std::time::{Duration, Instant};

use crate::media::outbox::{Outbox, PortSlot};
use crate::media::participant::Participant;
use crate::wire::rtcp::{self, Sent, Staying};

#[derive(Debug, Default)]
pub struct Reports {
    due: Option<Instant>,
    /// Packets that had been sent when the last report was made.
    sent_before: u32,
    name: Option<String>,
}

const INTERVAL: Duration = Duration::from_secs(5);

/// What the wall clock said at some instant, so that sender reports can bear the time.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    pub at: Instant,
    /// 32.32 seconds of NTP.
    pub ntp: u64,
}

impl WallClock {
    fn ntp_at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.at);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        self.ntp
            .wrapping_add(since.as_secs() << 32)
            .wrapping_add(fraction)
    }
}

impl Reports {
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The next report, somewhere in the interval: `chance` is 0 to 1.
    pub fn plan(&mut self, now: Instant, chance: f32) {
        self.due = Some(now + INTERVAL.mul_f32(0.5 + chance.clamp(0.0, 1.0)));
    }

    pub fn is_planned(&self) -> bool {
        self.due.is_some()
    }
}

impl Participant {
    /// Sends a report, and a good-bye when the leg leaves.
    pub fn report(
        &mut self,
        now: Instant,
        slot: PortSlot,
        wall_clock: &WallClock,
        staying: Staying,
        outbox: &mut Outbox,
    ) {
        let Some((channel, to)) = self.path.rtcp_to() else {
            return;
        };
        let packets = self.identity.packets();
        let sent = (packets != self.reports.sent_before).then(|| Sent {
            ntp: wall_clock.ntp_at(now),
            timestamp: self.identity.timestamp(now),
            packets,
            octets: self.identity.octets(),
        });
        self.reports.sent_before = packets;
        let received = self.reception.report(now);
        let ssrc = self.identity.ssrc();
        let host = self.local.ip();
        // The name outlives the SSRC's own meaning: it stays while the leg does (§6.5.1).
        let name = self
            .reports
            .name
            .get_or_insert_with(|| format!("{ssrc:08x}@{host}"));
        let mut bytes = [0; rtcp::MAX_LEN];
        if let Some(length) = rtcp::write(ssrc, sent, received, name, staying, &mut bytes) {
            outbox.rtcp(slot, channel, to, &bytes[..length]);
        }
    }
}
