//! Who watches, with which phones.

use super::*;
use crate::phone::{PhoneKind, PhoneModel, Racing, TtlRule};
use crate::scenario::Phone;

/// The most kinds of phones: a viewer keeps the number of its kind in a byte.
const MOST_KINDS: usize = 32;

impl Check<'_> {
    pub(super) fn audience(&self, words: &words::Audience) -> Checked<Audience> {
        let viewers = self.whole("audience.viewers", words.viewers, 1, MOST_VIEWERS)?;
        let doors_open = self.time("audience.doors_open", words.doors_open, Duration::from_millis(100), HOUR)?;
        self.shares("audience.phones", words.phones.iter().map(|phone| phone.share))?;
        if words.phones.len() > MOST_KINDS {
            let found = format!("{} kinds of phones", words.phones.len());
            return Err(self.places.problem(
                "audience.phones",
                found,
                format!("at most {MOST_KINDS}"),
                "put rare kinds together",
            ));
        }
        let phones =
            words.phones.iter().enumerate().map(|(index, phone)| self.phone(&format!("audience.phones[{index}]"), phone));
        let phones: Vec<Phone> = phones.collect::<Checked<_>>()?;
        for (index, phone) in phones.iter().enumerate() {
            if phones[..index].iter().any(|other| other.name == phone.name) {
                return Err(self.places.problem(
                    &format!("audience.phones[{index}]"),
                    format!("`{}` twice", phone.name),
                    "each kind of phone once",
                    "add the shares up, or give a custom phone another `name`",
                ));
            }
        }
        Ok(Audience { viewers, doors_open, phones })
    }

    fn phone(&self, key: &str, words: &words::Phone) -> Checked<Phone> {
        let phone =
            |name: &str, model| Phone { name: name.into(), kind: words.kind, model, share: words.share, client: words.client };
        match (words.kind.model(), &words.custom) {
            (Some(model), None) => Ok(phone(words.kind.name(), model)),
            (Some(_), Some(_)) => Err(self.places.problem(
                &format!("{key}.custom"),
                format!("`custom` beside `{}`", words.kind.name()),
                "a preset or a description, not both",
                "remove `custom`, or write kind = \"custom\"",
            )),
            (None, None) => Err(self.places.problem(
                &format!("{key}.kind"),
                "kind = \"custom\" without a description",
                "what this phone does",
                "add custom = { ttl_rule = \"answer\", racing = \"sequential\" }, or take a preset: android-okhttp, ios-urlsession, …",
            )),
            (None, Some(custom)) => {
                let key = format!("{key}.custom");
                self.id(&format!("{key}.name"), &custom.name)?;
                if custom.name != PhoneKind::Custom.name() && PhoneKind::PRESETS.iter().any(|kind| kind.name() == custom.name) {
                    let found = format!("the name of a preset, `{}`", custom.name);
                    return Err(self.places.problem(&format!("{key}.name"), found, "a name of its own", "choose another one"));
                }
                Ok(phone(&custom.name, self.custom(&key, custom)?))
            }
        }
    }

    fn custom(&self, key: &str, words: &words::Custom) -> Checked<PhoneModel> {
        use words::{RacingName, TtlName};
        let timed = matches!(words.ttl_rule, TtlName::AtLeast | TtlName::Fixed);
        self.only(key, if timed { &["ttl"] } else { &[] }, &[("ttl", words.ttl.is_some())])?;
        let delayed = words.racing != RacingName::Sequential;
        self.only(key, if delayed { &["delay"] } else { &[] }, &[("delay", words.delay.is_some())])?;
        let ttl_s = || {
            let key = format!("{key}.ttl");
            self.whole_seconds(&key, self.given(&key, words.ttl)?)
        };
        let delay = || self.given(&format!("{key}.delay"), words.delay);
        let seconds = |name: &str, found| {
            let key = format!("{key}.{name}");
            self.whole_seconds(&key, self.time(&key, found, Duration::ZERO, HOUR)?)
        };
        let most = Duration::from_secs(60);
        let resolution = words.resolution_delay;
        Ok(PhoneModel {
            scope: words.scope,
            ttl: match words.ttl_rule {
                TtlName::Answer => TtlRule::Answer,
                TtlName::AtLeast => TtlRule::AtLeast(ttl_s()?),
                TtlName::Fixed => TtlRule::Fixed(ttl_s()?),
                TtlName::Apple => TtlRule::Apple,
                TtlName::Forever => TtlRule::Forever,
            },
            app_cache_s: seconds("app_cache", words.app_cache)?,
            failure_s: seconds("failures", words.failures)?,
            order: words.order,
            racing: match words.racing {
                RacingName::Sequential => Racing::Sequential,
                RacingName::Every => Racing::Every(delay()?),
                RacingName::Families => Racing::Families(delay()?),
            },
            families: words.families,
            resolution_delay: resolution
                .map(|delay| self.time(&format!("{key}.resolution_delay"), delay, Duration::ZERO, most))
                .transpose()?,
            postpones: words.postpones,
        })
    }
}
