//! One trial's world: a zone, the caches of all carriers, and the phones of processes, in virtual time.

use std::time::Duration;

use crate::cache::{Freshness, Slot};
use crate::draw::{Stream, below, draw, unit};
use crate::phone::{CacheScope, PhoneMemory, PhoneModel, Recalled};
use crate::scenario::{Carrier, Phase, Phone, Scenario};
use crate::zone::{Family, Moment, Zone};

/// A proxy by its position in the zone.
pub(super) type Proxy = u16;

pub(super) struct World<'a> {
    zone: &'a Zone,
    seed: u64,
    /// How long the zone has been answering when the doors open. It decides whose turn it is.
    age: Duration,
    t0: Duration,
    carriers: &'a [Carrier],
    phones: &'a [Phone],
    /// Where each carrier's caches begin in `slots`.
    first_slot: Vec<u32>,
    slots: Vec<Slot<Proxy>>,
    /// Memories that the viewers of one agent share, by agent and kind of phone.
    shared: Vec<PhoneMemory<Proxy>>,
    /// Queries of phones, which number the draws.
    queries: u64,
    /// Queries that reached the zone.
    asked: u64,
    answer: Vec<Proxy>,
    list: Vec<Proxy>,
}

impl<'a> World<'a> {
    pub(super) fn new(zone: &'a Zone, scenario: &'a Scenario, agents: u32, t0: Duration, seed: u64) -> Self {
        let carriers = &scenario.carriers.list;
        let mut first_slot = Vec::with_capacity(carriers.len());
        let mut slots = 0_u32;
        for carrier in carriers {
            first_slot.push(slots);
            slots += u32::from(carrier.caches.max(1));
        }
        let phones = &scenario.audience.phones;
        // Nobody opens the doors by a zone's clock: any moment of all its turns is as likely.
        let turns = u32::try_from(zone.members().len()).unwrap_or(u32::MAX);
        let age = zone.window().saturating_mul(turns).mul_f64(unit(draw(seed, Stream::ZonePhase, 0)));
        let mut world = Self {
            zone,
            seed,
            age,
            t0,
            carriers,
            phones,
            first_slot,
            slots: vec![Slot::default(); slots as usize],
            shared: vec![PhoneMemory::default(); agents.max(1) as usize * phones.len()],
            queries: 0,
            asked: 0,
            answer: Vec::new(),
            list: Vec::new(),
        };
        if scenario.carriers.phase == Phase::Random {
            world.warm();
        }
        world
    }

    /// Every cache holds an answer of random age, as if the name had been asked for all day.
    fn warm(&mut self) {
        for (number, carrier) in self.carriers.iter().enumerate() {
            for cache in 0..u32::from(carrier.caches.max(1)) {
                let slot = (self.first_slot[number] + cache) as usize;
                let (members, ttl_s) = self.ask_zone(Duration::ZERO);
                let ttl_ms = u64::from(carrier.cache.clamped(ttl_s)) * 1_000;
                let age = below(draw(self.seed, Stream::CarrierPhase, slot as u64), ttl_ms.max(1));
                self.slots[slot].keep(&carrier.cache, &members, ttl_s, Duration::ZERO, Duration::from_millis(age));
            }
        }
    }

    fn ask_zone(&mut self, now: Duration) -> (Vec<Proxy>, u32) {
        let moment = Moment { now: self.age + now, since_t0: now.checked_sub(self.t0) };
        let answer = self.zone.answer(Family::V4, self.asked, moment);
        self.asked += 1;
        (answer.members.iter().map(|member| *member as Proxy).collect(), answer.ttl_s)
    }

    /// What the phones of a carrier are told now: leaves the addresses in `answer` and returns their TTL.
    fn ask_carrier(&mut self, carrier: u16, now: Duration) -> u32 {
        let spec = &self.carriers[usize::from(carrier)];
        let number = self.queries;
        self.queries += 1;
        let cache = match spec.caches {
            0 | 1 => 0,
            caches => below(draw(self.seed, Stream::CarrierCache, number), caches.into()) as u32,
        };
        let slot = (self.first_slot[usize::from(carrier)] + cache) as usize;
        let id = (draw(self.seed, Stream::QueryId, number) >> 48) as u16;
        let arrange = |addresses: &[Proxy], out: &mut Vec<Proxy>| spec.cache.order.arrange(addresses, self.seed, id, out);
        let (held_s, renew) = match self.slots[slot].freshness(&spec.cache, now) {
            Freshness::Fresh { ttl_s, refresh } => {
                arrange(self.slots[slot].addresses(), &mut self.answer);
                (Some(ttl_s), refresh)
            }
            Freshness::Stale | Freshness::Gone => (None, true),
        };
        if let (Some(ttl_s), false) = (held_s, renew) {
            return ttl_s;
        }
        let (members, fresh_s) = self.ask_zone(now);
        let kept_s = self.slots[slot].keep(&spec.cache, &members, fresh_s, now, Duration::ZERO);
        held_s.unwrap_or_else(|| {
            // The query that found an answer due for renewal has that one; this one waited for the new.
            spec.cache.order.arrange(&members, self.seed, id, &mut self.answer);
            kept_s
        })
    }

    /// Where a viewer's phone connects to now. `own` is its own memory, when it may come to use it again. All proxies answer, so the first
    /// address wins every race.
    pub(super) fn connect(
        &mut self,
        carrier: u16,
        phone: u8,
        agent: u16,
        now: Duration,
        own: Option<&mut PhoneMemory<Proxy>>,
    ) -> Option<Proxy> {
        let model = self.phones[usize::from(phone)].model;
        match model.scope {
            CacheScope::None => self.ask(&model, carrier, now).0,
            CacheScope::Device => {
                let Some(memory) = own else { return self.ask(&model, carrier, now).0 };
                self.recall_or_ask(&model, carrier, now, memory)
            }
            CacheScope::Process => {
                let index = usize::from(agent) * self.phones.len() + usize::from(phone);
                let mut memory = std::mem::take(&mut self.shared[index]);
                let chosen = self.recall_or_ask(&model, carrier, now, &mut memory);
                self.shared[index] = memory;
                chosen
            }
        }
    }

    fn recall_or_ask(
        &mut self,
        model: &PhoneModel,
        carrier: u16,
        now: Duration,
        memory: &mut PhoneMemory<Proxy>,
    ) -> Option<Proxy> {
        let chosen = match memory.recall(now) {
            Recalled::Answer(addresses) => memory.first(model, addresses),
            Recalled::Failure => None,
            Recalled::Nothing => {
                let (_, ttl_s) = self.ask(model, carrier, now);
                memory.remember(model, &self.list, ttl_s, now);
                memory.first(model, &self.list)
            }
        };
        chosen.inspect(|proxy| memory.worked(*proxy))
    }

    /// Asks the carrier; leaves the addresses as the phone tries them in `list`, and returns the first and their TTL.
    fn ask(&mut self, model: &PhoneModel, carrier: u16, now: Duration) -> (Option<Proxy>, u32) {
        let ttl_s = self.ask_carrier(carrier, now);
        let (seed, number) = (self.seed, self.queries);
        model.arrange_into(&[], &self.answer, |end| draw(seed, Stream::PhoneOrder, number << 8 | end as u64), &mut self.list);
        (self.list.first().copied(), ttl_s)
    }
}
