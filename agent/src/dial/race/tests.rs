use tokio::time::{Instant, sleep};
use voteburst_burst::phone::PhoneKind;

use super::*;

/// When an address answers an attempt to connect, in milliseconds after it began, and whether it takes it.
#[derive(Clone, Copy, Debug)]
enum Does {
    Connect(u64),
    Refuse(u64),
    Nothing,
}

use Does::{Connect, Nothing, Refuse};

/// OkHttp's connect timeout.
const LIMIT: Duration = Duration::from_secs(10);

/// Which address wins, and after how many milliseconds, on a clock that leaps from timer to timer.
#[expect(clippy::disallowed_methods, reason = "the clock of the test is tokio's, which stands still")]
async fn race(addresses: &[Does]) -> (Option<usize>, u128) {
    let Some(Racing::Every(delay)) = PhoneKind::AndroidOkhttp.model().map(|model| model.racing) else {
        panic!("OkHttp 5 races");
    };
    let attempts = addresses.iter().enumerate().map(|(number, does)| async move {
        let (after, takes) = match does {
            Connect(after) => (Duration::from_millis(*after), true),
            Refuse(after) => (Duration::from_millis(*after), false),
            Nothing => (LIMIT * 2, false),
        };
        timeout(LIMIT, sleep(after)).await.ok().filter(|()| takes).map(|()| number)
    });
    let began = Instant::now();
    let won = beside(attempts, delay).await;
    (won, began.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn okhttp_5_leaves_a_silent_address_after_250_ms_and_a_refusing_one_at_once() {
    for (addresses, expected) in [
        (vec![Connect(20)], (Some(0), 20)),
        (vec![Nothing, Connect(20)], (Some(1), 270)),
        (vec![Refuse(3), Connect(20)], (Some(1), 23)),
        (vec![Nothing, Nothing, Connect(20)], (Some(2), 520)),
        // An attempt is still under way: the next one waits for its turn.
        (vec![Nothing, Refuse(3), Connect(20)], (Some(2), 520)),
        (vec![Refuse(3), Nothing, Connect(20)], (Some(2), 273)),
        // The first one is slow and yet before the second.
        (vec![Connect(260), Connect(20)], (Some(0), 260)),
        (vec![Connect(290), Connect(20)], (Some(1), 270)),
        (vec![Refuse(260), Refuse(20), Connect(5)], (Some(2), 275)),
        (vec![Refuse(3), Refuse(4)], (None, 7)),
        (vec![Nothing, Refuse(3)], (None, 10_000)),
        (vec![Nothing, Nothing], (None, 10_250)),
        (vec![], (None, 0)),
    ] {
        assert_eq!(race(&addresses).await, expected, "{addresses:?}");
    }
}
