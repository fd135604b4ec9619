//! One limit of the kernel too low or doubtful, and what its line then says.

use super::*;

/// What is wrong with a machine, and what its line then says.
struct Row {
    what: &'static str,
    path: &'static str,
    text: &'static str,
    status: CheckStatus,
    found: &'static str,
    says: &'static [&'static str],
}

const fn row(
    what: &'static str,
    (path, text): (&'static str, &'static str),
    status: CheckStatus,
    found: &'static str,
    says: &'static [&'static str],
) -> Row {
    Row { what, path, text, status, found, says }
}

const RESERVED: &str = "proc/sys/net/ipv4/ip_local_reserved_ports";
const TCP_MEM: &str = "proc/sys/net/ipv4/tcp_mem";
const CLOCK: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";

const ROWS: &[Row] = &[
    row(
        "open files, ceiling",
        ("proc/sys/fs/nr_open", "19261"),
        Bad,
        "19261",
        &["18749 of its 18750 viewers", "fs.nr_open=19262"],
    ),
    row("open files, ceiling", ("proc/sys/fs/nr_open", "19262"), Good, "19262", &[]),
    row(
        "open files, machine",
        ("proc/sys/fs/file-nr", "1000\t0\t301512"),
        Bad,
        "300512 free of 301512",
        &["600512 free", "after 150000 of 300000 viewers", "ENFILE", "fs.file-max=601512"],
    ),
    row("open files, machine", ("proc/sys/fs/file-nr", "1000 0 601512"), Good, "600512 free of 601512", &[]),
    row(
        "source ports",
        ("proc/sys/net/ipv4/ip_local_port_range", "40000 44999"),
        Bad,
        "10000 (2 source addresses × 5000)",
        &["at most 10000 of its 18750 viewers", "8 source addresses (agents.sources)", "ip_local_port_range"],
    ),
    row(
        "source ports",
        ("proc/sys/net/ipv4/ip_local_port_range", "40000 50000"),
        Warning,
        "20002 (2 source",
        &["factor of about 30"],
    ),
    row(
        "source ports",
        (RESERVED, "32768-50000"),
        Warning,
        "21998 (2 source addresses × 10999, 17233 more are reserved)",
        &["ip_local_reserved_ports"],
    ),
    row("source ports", (RESERVED, "32768-60999"), Bad, "0 (2 source", &["at most 0 of its 18750", "ip_local_reserved_ports"]),
    row(
        "queued TCP data",
        (TCP_MEM, "100 200 20000"),
        Bad,
        "19706 of 20000 pages free",
        &["22000 pages free", "with more than 19706 votes waiting", "tcp_mem=\"22294 33441 44588\""],
    ),
    row("queued TCP data", (TCP_MEM, "100 22293 30000"), Warning, "29706 of 30000 pages free", &["under pressure"]),
    row(
        "accept queue",
        ("proc/sys/net/core/somaxconn", "220"),
        Warning,
        "220",
        &["4096", "more than 220 viewers", "again after 1 s", "net.core.somaxconn=4096"],
    ),
    row(
        "accept queue",
        ("proc/sys/net/core/somaxconn", "128"),
        Bad,
        "128",
        &["4096", "of the 220 viewers who come to one proxy in 10 ms", "128 fit", "net.core.somaxconn=4096"],
    ),
    row(
        "handshake queue",
        ("proc/sys/net/ipv4/tcp_max_syn_backlog", "220"),
        Warning,
        "220",
        &["1024", "more than 220 handshakes"],
    ),
    row(
        "handshake queue",
        ("proc/sys/net/ipv4/tcp_max_syn_backlog", "64"),
        Bad,
        "64",
        &["1024", "64 fit", "the kernel, not the proxy's limit", "tcp_max_syn_backlog=1024"],
    ),
    row(
        "memory",
        // 17 KiB for each of 300,000: a viewer, its connection's two ends, and the stage's part.
        ("proc/meminfo", "MemAvailable: 2550000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"),
        Bad,
        "2.4 GiB available",
        &["4.9 GiB (agents and stage, and the kernel's sockets)", "about 150000 of 300000 viewers fit", "more machines"],
    ),
    row(
        "swap",
        ("proc/meminfo", "MemAvailable: 5200000 kB\nSwapTotal: 2097152 kB\nSwapFree: 1048576 kB\n"),
        Warning,
        "2.0 GiB, of which 1.0 GiB are used",
        &["swapoff -a", "up to 918 MiB of idle viewers are swapped out"],
    ),
    row(
        "swap",
        ("proc/meminfo", "MemAvailable: 4100000 kB\nSwapTotal: 2097152 kB\nSwapFree: 2097152 kB\n"),
        Bad,
        "2.0 GiB, of which 0 KiB are used",
        &["more memory", "at least 977 MiB of idle viewers are swapped out"],
    ),
    row(
        "swap",
        ("proc/meminfo", "MemAvailable: 23636000 kB\nSwapTotal: 2097152 kB\nSwapFree: 2097152 kB\n"),
        Good,
        "2.0 GiB",
        &[],
    ),
    row(CLOCK_LINE, (CLOCK, "jiffies\n"), Bad, "jiffies", &["steps of 1 to 10 ms", "available_clocksource"]),
    row(CLOCK_LINE, (CLOCK, "hpet\n"), Warning, "hpet", &["a system call of a microsecond or more"]),
    row(CLOCK_LINE, (CLOCK, "acpi_pm\n"), Warning, "acpi_pm", &["current_clocksource"]),
    row(CLOCK_LINE, (CLOCK, "kvm-clock\n"), Good, "kvm-clock", &[]),
    row(CLOCK_LINE, (CLOCK, "hyperv_clocksource_tsc_page\n"), Good, "hyperv_clocksource_tsc_page", &[]),
];
const CLOCK_LINE: &str = "clock source";

#[test]
fn every_limit_of_the_kernel_is_named_with_what_to_do() {
    for Row { what, path, text, status, found, says } in ROWS {
        let check = the(&Fake::sound().with(path, text).checks(&AUDIENCE), what);
        assert_eq!(check.status, *status, "{path}: {text}: {check:#?}");
        assert!(check.found.starts_with(found), "{path}: {text}: {check:#?}");
        let all = format!("{}\n{}\n{}", check.needed, check.fix, check.effect);
        for word in *says {
            assert!(all.contains(word), "`{word}` is missing in {check:#?}");
        }
        assert_eq!(*status == Good, check.fix.is_empty() && check.effect.is_empty(), "{check:#?}");
    }
}
