//! `hioload blocks scrub`: every block from the medium, at a rate that leaves room for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use hioload_base::ByteSize;
use hioload_blocks::Hash;

use super::Verdict;
use super::access::Access;
use super::place::Place;
use super::progress::Progress;
use super::stop::Stop;
use super::verify::Tally;
use super::walk::Walk;

/// Longest sleep: a signal is seen after that.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// Arguments of `hioload blocks scrub`.
#[derive(Args, Clone, Debug)]
pub(super) struct ScrubArgs {
    #[command(flatten)]
    place: Place,

    /// Bytes read in a second at most; 0: as fast as it goes
    #[arg(long, value_name = "SIZE", default_value = "50MiB")]
    rate: ByteSize,

    /// Begin behind this block, where another run ended
    #[arg(long, value_name = "HASH", value_parser = super::ls::hash)]
    after: Option<Hash>,
}

/// Prints a line for each block that is damaged.
pub(super) fn run(args: &ScrubArgs) -> Result<Verdict, Stop> {
    let stop = Arc::new(AtomicBool::new(false));
    crate::cli::bench::stop_on_signals(&stop)
        .map_err(|error| Stop::Failed(format!("cannot watch for signals: {error}")))?;
    let mut access = args.place.open()?;
    let mut scrub = Scrub {
        pace: Pace::new(args.rate.bytes()),
        tally: Tally::default(),
        last: args.after,
        stop: &stop,
    };
    let ended = scrub.run(access.as_mut());
    scrub.tally.report("scrubbed");
    if !matches!(ended, Ok(true))
        && let Some(last) = scrub.last
    {
        eprintln!("not all of it; go on with --after {last}");
    }
    let is_whole = ended?;
    Ok(Verdict::of(is_whole && scrub.tally.is_fine()))
}

struct Scrub<'a> {
    pace: Pace,
    tally: Tally,
    /// The block that was read last.
    last: Option<Hash>,
    stop: &'a AtomicBool,
}

impl Scrub<'_> {
    /// True when all blocks were read, false when a signal came before.
    fn run(&mut self, access: &mut dyn Access) -> Result<bool, Stop> {
        let total = access.figures()?["controller"]["space"]["content_bytes"].as_u64();
        // Where it begins says nothing of how much is left.
        let progress = Progress::of_bytes(total.filter(|_| self.last.is_none()));
        let mut walk = Walk::new(self.last);
        loop {
            let entries = walk.next(access, u64::MAX)?;
            self.tally.unreadable = walk.unreadable;
            if entries.is_empty() {
                return Ok(true);
            }
            for entry in entries {
                if !self.sleep(self.pace.pause(self.tally.bytes)) {
                    return Ok(false);
                }
                self.tally.verify(access, &[entry.hash], false, &progress)?;
                self.last = Some(entry.hash);
            }
        }
    }

    /// False when a signal ended it.
    fn sleep(&self, mut left: Duration) -> bool {
        loop {
            // Set by a signal; nothing is read in its wake, so no ordering is needed.
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            if left.is_zero() {
                return true;
            }
            let slice = left.min(SLEEP_MAX);
            thread::sleep(slice);
            left -= slice;
        }
    }
}

/// How fast it may go.
struct Pace {
    began: Instant,
    /// Bytes in a second; 0 for no bound.
    rate: u64,
}

impl Pace {
    fn new(rate: u64) -> Self {
        Self {
            began: Instant::now(),
            rate,
        }
    }

    /// How long to wait before more is read, after so many bytes.
    fn pause(&self, bytes: u64) -> Duration {
        due(bytes, self.rate).saturating_sub(self.began.elapsed())
    }
}

/// When so many bytes may have been read.
fn due(bytes: u64, rate: u64) -> Duration {
    if rate == 0 {
        return Duration::ZERO;
    }
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time() {
        assert_eq!(due(50 << 20, 50 << 20), Duration::from_secs(1));
        assert_eq!(due(0, 1), Duration::ZERO);
        assert_eq!(due(u64::MAX, 0), Duration::ZERO);
        assert_eq!(due(u64::MAX, 1), Duration::from_nanos(u64::MAX));
    }
}
