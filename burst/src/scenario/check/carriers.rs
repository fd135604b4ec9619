//! The DNS caches between phones and zone.

use super::*;
use crate::draw::{Stream, draw, unit};
use crate::scenario::Subnet;

/// The longest a carrier may keep anything.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

impl Check<'_> {
    pub(super) fn carriers(&self, words: &words::Carriers, seed: u64) -> Checked<Carriers> {
        let resolvers = self.sockets("carriers.resolvers", words.resolvers.as_deref().unwrap_or_default())?;
        self.only_what_matters(words)?;
        let shares = self.carrier_shares(words, resolvers.len())?;
        let cache = self.cache(words)?;
        let stretch = words.stretch.map(|stretch| self.stretch(stretch)).transpose()?;
        let subnets = self.subnets(words, shares.len())?;
        let caches = self.whole("carriers.caches", words.caches.unwrap_or(1), 1, 1_000)? as u16;
        let carrier = |(index, share): (usize, &f64)| {
            // By chance, as in the world: which carriers stretch says nothing of their size.
            let stretched = stretch.filter(|(part, _)| unit(draw(seed, Stream::CarrierStretch, index as u64)) < *part);
            let ttl_min_s = stretched.map_or(cache.ttl_min_s, |(_, to_s)| cache.ttl_min_s.max(to_s));
            let cache = CacheModel { ttl_min_s, ttl_max_s: cache.ttl_max_s.max(ttl_min_s), ..cache };
            let client_subnet = subnets.get(index).copied();
            Carrier { share: *share, resolver: resolvers.get(index).copied(), cache, caches, client_subnet }
        };
        let timeout = words.upstream_timeout.unwrap_or_else(|| words::Time::seconds(1));
        Ok(Carriers {
            list: shares.iter().enumerate().map(carrier).collect(),
            phase: words.phase.unwrap_or_default(),
            upstream_timeout: self.time(
                "carriers.upstream_timeout",
                timeout,
                Duration::from_millis(10),
                Duration::from_secs(60),
            )?,
            upstream_attempts: self.whole("carriers.upstream_attempts", words.upstream_attempts.unwrap_or(2), 1, 10)?,
        })
    }

    /// A key without an effect would make its writer believe in a rehearsal that is not played.
    fn only_what_matters(&self, words: &words::Carriers) -> Checked<()> {
        let of_own_caches = [
            ("caches", words.caches.is_some()),
            ("ttl_min", words.ttl_min.is_some()),
            ("ttl_max", words.ttl_max.is_some()),
            ("order", words.order.is_some()),
            ("prefetch", words.prefetch.is_some()),
            ("serve_stale", words.serve_stale.is_some()),
            ("negative_ttl_max", words.negative_ttl_max.is_some()),
            ("phase", words.phase.is_some()),
            ("stretch", words.stretch.is_some()),
            ("upstream_timeout", words.upstream_timeout.is_some()),
            ("upstream_attempts", words.upstream_attempts.is_some()),
            ("client_subnets", words.client_subnets.is_some()),
        ];
        let of_sizes = [
            ("sizes", words.sizes.is_some()),
            ("zipf_exponent", words.zipf_exponent.is_some()),
            ("top_share", words.top_share.is_some()),
        ];
        let equal = words.sizes == Some(words::Sizes::Equal);
        let idle = [("zipf_exponent", words.zipf_exponent.is_some() && equal)];
        self.without_effect("resolvers", "real resolvers cache as they do", words.resolvers.is_some(), &of_own_caches)?;
        self.without_effect("resolvers", "each gets an equal part, or its `shares`", words.resolvers.is_some(), &of_sizes)?;
        self.without_effect("shares", "they say how large each carrier is", words.shares.is_some(), &of_sizes)?;
        self.without_effect("sizes = \"equal\"", "equal sizes have no exponent", equal, &idle)
    }

    fn without_effect(&self, beside: &str, why: &str, given: bool, keys: &[(&str, bool)]) -> Checked<()> {
        let Some((name, _)) = keys.iter().find(|(_, written)| given && *written) else { return Ok(()) };
        Err(self.places.problem(
            &format!("carriers.{name}"),
            format!("`{name}` beside `{beside}`, where it has no effect"),
            format!("only one of them: {why}"),
            format!("remove `{name}`, or `{beside}`"),
        ))
    }

    fn carrier_shares(&self, words: &words::Carriers, resolvers: usize) -> Checked<Vec<f64>> {
        let shares = match (&words.shares, &words.resolvers) {
            (Some(shares), _) => shares.clone(),
            (None, Some(_)) => equal(resolvers),
            (None, None) => {
                let count = self.whole("carriers.count", words.count.unwrap_or(8), 1, 10_000)? as usize;
                let exponent = self.number("carriers.zipf_exponent", words.zipf_exponent.unwrap_or(1.0), 0.0, 5.0)?;
                let sized = |count| match words.sizes {
                    Some(words::Sizes::Equal) => equal(count),
                    Some(words::Sizes::Zipf) | None => zipf(count, exponent),
                };
                match words.top_share {
                    None => sized(count),
                    Some(top) => {
                        let top = self.number("carriers.top_share", top, 1.0 / count as f64, 1.0)?;
                        let rest = sized(count - 1).into_iter().map(|share| share * (1.0 - top));
                        std::iter::once(top).chain(rest).collect()
                    }
                }
            }
        };
        if shares.is_empty() {
            let (found, needed) = ("no carrier", "at least one, for phones to ask");
            return Err(self.places.problem("carriers", found, needed, "name a resolver, or leave the empty list out"));
        }
        self.shares("carriers.shares", shares.iter().copied())?;
        let counts = [words.count.map(|count| count.max(0) as usize), words.resolvers.as_ref().map(|_| resolvers)];
        if let Some(other) = counts.into_iter().flatten().find(|count| *count != shares.len()) {
            let found = format!("{} shares for {other} carriers", shares.len());
            return Err(self.places.problem(
                "carriers.shares",
                found,
                "one share for each carrier",
                "leave `count` out, or make the numbers agree",
            ));
        }
        Ok(shares)
    }

    fn cache(&self, words: &words::Carriers) -> Checked<CacheModel> {
        let usual = CacheModel::default();
        let seconds = |name: &str, found: Option<words::Time>, usual: u32, least: Duration, most| {
            let key = format!("carriers.{name}");
            let found = found.unwrap_or_else(|| words::Time::seconds(usual.into()));
            self.whole_seconds(&key, self.time(&key, found, least, most)?)
        };
        let ttl_min_s = seconds("ttl_min", words.ttl_min, usual.ttl_min_s, Duration::ZERO, Duration::from_secs(86_400))?;
        let ttl_min = Duration::from_secs(ttl_min_s.into());
        let prefetch = self.number("carriers.prefetch", words.prefetch.unwrap_or(0.0), 0.0, 0.99)?;
        Ok(CacheModel {
            ttl_min_s,
            ttl_max_s: seconds("ttl_max", words.ttl_max, usual.ttl_max_s, ttl_min, WEEK)?,
            order: words.order.unwrap_or_default(),
            prefetch_pct: (prefetch * 100.0).round() as u8,
            stale_s: seconds("serve_stale", words.serve_stale, usual.stale_s, Duration::ZERO, WEEK)?,
            negative_ttl_max_s: seconds(
                "negative_ttl_max",
                words.negative_ttl_max,
                usual.negative_ttl_max_s,
                Duration::ZERO,
                WEEK,
            )?,
        })
    }

    fn stretch(&self, words: words::Stretch) -> Checked<(f64, u32)> {
        let share = self.number("carriers.stretch.share", words.share, 0.0, 1.0)?;
        let to = self.time("carriers.stretch.to", words.to, Duration::from_secs(1), WEEK)?;
        Ok((share, self.whole_seconds("carriers.stretch.to", to)?))
    }

    fn subnets(&self, words: &words::Carriers, carriers: usize) -> Checked<Vec<Subnet>> {
        let Some(written) = &words.client_subnets else { return Ok(Vec::new()) };
        if written.len() != carriers {
            let found = format!("{} subnets for {carriers} carriers", written.len());
            let fix = "add or remove subnets, or leave `client_subnets` out";
            return Err(self.places.problem("carriers.client_subnets", found, "one for each carrier", fix));
        }
        let parse = |(index, text): (usize, &String)| {
            subnet(text).ok_or_else(|| {
                self.places.problem(
                    &format!("carriers.client_subnets[{index}]"),
                    format!("`{text}`"),
                    "a network as address/bits, at most /24 of IPv4 and /56 of IPv6 (RFC 7871, section 11.1)",
                    "write it as \"203.0.113.0/24\"",
                )
            })
        };
        written.iter().enumerate().map(parse).collect()
    }
}

fn subnet(text: &str) -> Option<Subnet> {
    let (address, prefix) = text.split_once('/')?;
    let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
    (prefix <= if address.is_ipv4() { 24 } else { 56 }).then_some(Subnet { address, prefix })
}

fn equal(count: usize) -> Vec<f64> {
    vec![1.0 / count.max(1) as f64; count]
}

/// Shares proportional to 1 / rank^exponent, largest first.
fn zipf(count: usize, exponent: f64) -> Vec<f64> {
    let raw: Vec<f64> = (1..=count).map(|rank| libm::pow(rank as f64, -exponent)).collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|size| size / sum).collect()
}
