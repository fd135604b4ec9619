//! What a cache knows of one name.

use std::time::Duration;

use super::CacheModel;

/// How usable a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Valid for so many more whole seconds.
    Fresh {
        /// Rounded down.
        ttl_s: u32,
        /// Whether it is due to be asked for anew by [`CacheModel::prefetch_pct`].
        refresh: bool,
    },
    /// Its time is over, but it may be handed out when nobody upstream answers.
    Stale,
    /// Nothing is kept.
    Gone,
}

/// One answer that is kept. `A` stands for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot<A> {
    addresses: Vec<A>,
    expires: Duration,
    ttl_s: u32,
}

impl<A> Default for Slot<A> {
    fn default() -> Self {
        Self { addresses: Vec::new(), expires: Duration::ZERO, ttl_s: 0 }
    }
}

impl<A: Copy> Slot<A> {
    /// How usable it is at `now`. It is valid before its end, not at it.
    #[must_use]
    pub fn freshness(&self, model: &CacheModel, now: Duration) -> Freshness {
        if self.ttl_s == 0 {
            return Freshness::Gone;
        }
        if now < self.expires {
            let left = self.expires - now;
            let refresh = left.as_secs_f64() * 100.0 < f64::from(self.ttl_s) * f64::from(model.prefetch_pct);
            return Freshness::Fresh { ttl_s: u32::try_from(left.as_secs()).unwrap_or(u32::MAX), refresh };
        }
        let stale_until = self.expires.saturating_add(Duration::from_secs(model.stale_s.into()));
        if now < stale_until { Freshness::Stale } else { Freshness::Gone }
    }

    /// Keeps an answer that came at `now` and of whose time `age` is already over. Returns the clamped TTL, of which
    /// `age` is not taken; with 0 nothing is kept. No addresses make a negative answer, which is kept for
    /// [`CacheModel::negative_ttl_max_s`] at most.
    pub fn keep(&mut self, model: &CacheModel, addresses: &[A], ttl_s: u32, now: Duration, age: Duration) -> u32 {
        let mut ttl_s = model.clamped(ttl_s);
        if addresses.is_empty() {
            ttl_s = ttl_s.min(model.negative_ttl_max_s);
        }
        self.addresses.clear();
        self.addresses.extend_from_slice(addresses);
        self.ttl_s = ttl_s;
        self.expires = now.saturating_add(Duration::from_secs(ttl_s.into()).saturating_sub(age));
        ttl_s
    }

    /// The addresses as they came.
    #[must_use]
    pub fn addresses(&self) -> &[A] {
        &self.addresses
    }
}
