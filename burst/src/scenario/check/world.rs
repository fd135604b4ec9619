//! Audience, carriers, agents, thresholds and the stage.

use super::*;

impl Check<'_> {
    pub(super) fn audience(&self, words: &words::Audience) -> Checked<Audience> {
        let viewers = self.whole("audience.viewers", words.viewers, 1, MOST_VIEWERS)?;
        let doors_open = self.time("audience.doors_open", words.doors_open, Duration::from_millis(100), HOUR)?;
        self.shares("audience.phones", words.phones.iter().map(|phone| phone.share))?;
        let phones = words.phones.iter().map(|phone| (phone.kind, phone.share)).collect();
        Ok(Audience { viewers, doors_open, phones })
    }

    pub(super) fn carriers(&self, words: &words::Carriers) -> Checked<Carriers> {
        let resolvers = self.sockets("carriers.resolvers", words.resolvers.as_deref().unwrap_or_default())?;
        let shares = match (&words.shares, &words.resolvers) {
            (Some(shares), _) => shares.clone(),
            (None, Some(_)) => equal(resolvers.len()),
            (None, None) => {
                let count = self.whole("carriers.count", words.count.unwrap_or(8), 1, 10_000)? as usize;
                match words.sizes {
                    words::Sizes::Equal => equal(count),
                    words::Sizes::Zipf => zipf(count, self.number("carriers.zipf_exponent", words.zipf_exponent, 0.0, 5.0)?),
                }
            }
        };
        self.shares("carriers.shares", shares.iter().copied())?;
        let counts = [words.count.map(|count| count.max(0) as usize), words.resolvers.as_ref().map(|_| resolvers.len())];
        if let Some(other) = counts.into_iter().flatten().find(|count| *count != shares.len()) {
            let found = format!("{} shares for {other} carriers", shares.len());
            return Err(self.places.problem(
                "carriers.shares",
                found,
                "one share for each carrier",
                "leave `count` out, or make the numbers agree",
            ));
        }
        let (day, most) = (Duration::from_secs(86_400), Duration::from_secs(86_400 * 7));
        let ttl_min = self.time("carriers.ttl_min", words.ttl_min, Duration::ZERO, day)?;
        let ttl_max = self.time("carriers.ttl_max", words.ttl_max, ttl_min, most)?;
        let cache = CacheModel {
            ttl_min_s: self.whole_seconds("carriers.ttl_min", ttl_min)?,
            ttl_max_s: self.whole_seconds("carriers.ttl_max", ttl_max)?,
            order: words.order,
        };
        let list =
            shares.iter().enumerate().map(|(index, share)| Carrier { share: *share, resolver: resolvers.get(index).copied() });
        Ok(Carriers { list: list.collect(), cache })
    }

    pub(super) fn agents(&self, words: &words::Agents) -> Checked<Agents> {
        let sources = words.sources.iter().enumerate().map(|(index, text)| {
            text.parse().map_err(|_| {
                self.places.problem(
                    &format!("agents.sources[{index}]"),
                    format!("`{text}`"),
                    "an IP address of the agents' machine",
                    "leave `sources` out to let voteburst choose",
                )
            })
        });
        Ok(Agents {
            max_viewers: self.whole("agents.max_viewers", words.max_viewers, 1, 1_000_000)?,
            sources: sources.collect::<Checked<_>>()?,
            gather_timeout: self.time("agents.gather_timeout", words.gather_timeout, Duration::from_secs(1), HOUR)?,
            arm_timeout: self.time(
                "agents.arm_timeout",
                words.arm_timeout,
                Duration::from_millis(500),
                Duration::from_secs(60),
            )?,
        })
    }

    pub(super) fn thresholds(&self, words: &words::Thresholds) -> Checked<Thresholds> {
        let share = |name: &str, found: f64| self.number(&format!("thresholds.{name}"), found, 0.0, 1.0);
        let time =
            |name: &str, found: words::Time| self.time(&format!("thresholds.{name}"), found, Duration::from_micros(1), HOUR);
        let peak = words.peak_open_max.map(|most| self.whole("thresholds.peak_open_max", most, 1, MOST_VIEWERS));
        Ok(Thresholds {
            accepted_min: share("accepted_min", words.accepted_min)?,
            complaints_max: share("complaints_max", words.complaints_max)?,
            connected_min: share("connected_min", words.connected_min)?,
            response_p99_max: words.response_p99_max.map(|most| time("response_p99_max", most)).transpose()?,
            busiest_share_max: words.busiest_share_max.map(|most| share("busiest_share_max", most)).transpose()?,
            peak_open_max: peak.transpose()?,
            lateness_p99_max: time("lateness_p99_max", words.lateness_p99_max)?,
            start_spread_max: time("start_spread_max", words.start_spread_max)?,
        })
    }

    pub(super) fn stage(&self, words: &words::Stage) -> Checked<Stage> {
        let whole = |name: &str, found: i64, most: u32| self.whole(&format!("stage.{name}"), found, 1, most);
        let proxies = whole("proxies", words.proxies, 100)? as u16;
        let weights = words.weights.as_deref().unwrap_or_default().iter().enumerate();
        let weights: Vec<u8> = weights
            .map(|(index, weight)| Ok(self.whole(&format!("stage.weights[{index}]"), *weight, 0, 255)? as u8))
            .collect::<Checked<_>>()?;
        if !weights.is_empty() && weights.len() != usize::from(proxies) {
            let found = format!("{} weights for {proxies} proxies", weights.len());
            return Err(self.places.problem(
                "stage.weights",
                found,
                "one weight for each proxy",
                "leave `weights` out to make them all equal",
            ));
        }
        let time = |name: &str, found: words::Time| self.time(&format!("stage.{name}"), found, Duration::from_millis(10), HOUR);
        let ttl = self.time("stage.ttl", words.ttl, Duration::ZERO, Duration::from_secs(172_800))?;
        Ok(Stage {
            zone: words.zone,
            ttl_s: self.whole_seconds("stage.ttl", ttl)?,
            window: time("window", words.window)?,
            weights,
            proxies,
            lb_nodes: whole("lb_nodes", words.lb_nodes, 100)? as u16,
            connection_limit: whole("connection_limit", words.connection_limit, 1_000_000)?,
            web_servers: whole("web_servers", words.web_servers, 1_000)? as u16,
            web_server_coefficient: whole("web_server_coefficient", words.web_server_coefficient, 1_000_000)?,
            queue_timeout: time("queue_timeout", words.queue_timeout)?,
            keep_alive_timeout: time("keep_alive_timeout", words.keep_alive_timeout)?,
            service_time: self.service("stage.service_time", &words.service_time)?,
            ballot_box: words.ballot_box,
        })
    }

    pub(super) fn service(&self, key: &str, words: &words::Service) -> Checked<ServiceTime> {
        let used: &[&str] = if words.distribution == words::Distribution::LogNormal { &["median", "sigma"] } else { &["mean"] };
        self.only(
            key,
            used,
            &[("mean", words.mean.is_some()), ("median", words.median.is_some()), ("sigma", words.sigma.is_some())],
        )?;
        let mean = || self.given(&format!("{key}.mean"), words.mean);
        Ok(match words.distribution {
            words::Distribution::Constant => ServiceTime::Constant { mean: mean()? },
            words::Distribution::Exponential => ServiceTime::Exponential { mean: mean()? },
            words::Distribution::LogNormal => ServiceTime::LogNormal {
                median: self.given(&format!("{key}.median"), words.median)?,
                sigma: self.sigma(key, words.sigma)?,
            },
        })
    }
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
