//! The closed list of injection signals with their public rule names and scores; it detects nothing.

/// A group of rules; the strongest rule of a verdict names it.
// Exhaustive on purpose: dashboards map every group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyType {
    /// The statement's own structure.
    Injection,
    /// The threat library.
    Threat,
    /// Too many statements.
    Rate,
    /// Outside what the profile learned, or heat from feedback.
    Behaviour,
}

macro_rules! signals {
    ($( $variant:ident = $code:literal $score:literal; )+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Signal { $( $variant, )+ }

        /// Public name and score of each signal, by its number.
        pub(crate) const SIGNALS: &[(&str, f32)] = &[ $( ($code, $score), )+ ];
    };
}

signals! {
    Tautology = "sqli.tautology" 0.85;
    WildOr = "sqli.tautology" 0.35;
    Contradiction = "sqli.contradiction" 0.35;
    ConstPair = "sqli.contradiction" 0.35;
    UnionProbe = "sqli.union_probe" 0.75;
    UnionPadding = "sqli.union_probe" 0.40;
    UnionArity = "sqli.union_probe" 0.75;
    UnionPlace = "sqli.union_probe" 0.50;
    UnionSystem = "sqli.union_system" 0.90;
    Stacked = "sqli.stacked" 0.75;
    StackedDrop = "sqli.stacked" 0.95;
    StackedKnown = "sqli.stacked" 0.20;
    TimeDelay = "sqli.time_delay" 0.80;
    TimeSelect = "sqli.time_delay" 0.40;
    HeavyCall = "sqli.time_delay" 0.60;
    FileAccess = "sqli.file_access" 0.90;
    FileExport = "sqli.file_access" 0.60;
    FileStatement = "sqli.file_access" 0.40;
    ErrorBased = "sqli.error_based" 0.75;
    ErrorCast = "sqli.error_based" 0.40;
    Blind = "sqli.blind" 0.55;
    CondProbe = "sqli.blind" 0.45;
    LiteralSubquery = "sqli.blind" 0.35;
    ConstSubquery = "sqli.blind" 0.35;
    ExecComment = "sqli.exec_comment" 0.40;
    ExecWhole = "sqli.exec_comment" 0.10;
    CommentCut = "sqli.comment_cut" 0.45;
    CommentStub = "sqli.comment_cut" 0.30;
    Unbalanced = "sqli.unbalanced" 0.30;
    Encoded = "sqli.encoded" 0.25;
    EncodedChain = "sqli.encoded" 0.40;
    Dynamic = "sqli.dynamic" 0.25;
    Script = "sqli.script" 0.20;
    Obfuscated = "sqli.obfuscated" 0.35;
    MisplacedLogic = "sqli.misplaced" 0.40;
    LiteralOperator = "sqli.literal_operator" 0.40;
    CompareChain = "sqli.literal_operator" 0.30;
    SystemProbe = "sqli.system_probe" 0.40;
    OrderProbe = "sqli.order_probe" 0.35;
    Compound = "sqli.compound" 0.55;
    Altered = "sqli.altered" 0.55;
}

const _: () = assert!(SIGNALS.len() <= 48, "signals and statement facts share one word");

impl Signal {
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

const fn bits<const N: usize>(signals: [Signal; N]) -> u64 {
    let (mut all, mut i) = (0, 0);
    while i < N {
        all |= signals[i].bit();
        i += 1;
    }
    all
}

/// Marks that are no evidence beside another one: broken syntax, style, and what sessions do openly.
const FAINT: u64 = bits([
    Signal::Unbalanced,
    Signal::CommentStub,
    Signal::Script,
    Signal::Encoded,
    Signal::Dynamic,
    Signal::ExecWhole,
    Signal::StackedKnown,
    Signal::Obfuscated,
]);
/// Probes of a condition's outcome.
const PROBES: u64 = bits([
    Signal::Contradiction,
    Signal::Blind,
    Signal::CondProbe,
    Signal::LiteralSubquery,
    Signal::OrderProbe,
    Signal::SystemProbe,
]);
/// Texts built so that no quote is needed, or so that an error tells them.
const DISGUISES: u64 = bits([Signal::EncodedChain, Signal::ErrorCast]);

/// Adds what two marks of one statement say together: a comment that cuts the rest off behind something odd, a second
/// constant comparison beside the first, a probe in disguise.
#[must_use]
pub(crate) const fn with_compound(signals: u64) -> u64 {
    let cut = signals & Signal::CommentCut.bit() != 0
        && signals & !(FAINT & !Signal::Obfuscated.bit()) & !Signal::CommentCut.bit() != 0;
    let stub = signals & Signal::CommentStub.bit() != 0 && signals & PROBES != 0;
    let pair = signals & Signal::ConstPair.bit() != 0;
    let hidden = signals & (Signal::Blind.bit() | Signal::CondProbe.bit()) != 0 && signals & DISGUISES != 0;
    if cut || stub || pair || hidden { signals | Signal::Compound.bit() } else { signals }
}

/// Whether a statement bears a mark that is evidence once its profile says that it is new.
#[must_use]
pub(crate) const fn is_marked(signals: u64) -> bool {
    signals & !FAINT != 0
}

/// `1 − Π(1 − score)` over the injection rules in `bits`; of signals with one name the strongest counts.
#[must_use]
pub(crate) fn injection_risk(bits: u64) -> f32 {
    let mut clean = 1.0_f32;
    for_each_rule(bits, |_, score| clean *= 1.0 - score);
    1.0 - clean
}

/// Calls `f` once for each fired rule name with its strongest score.
pub(crate) fn for_each_rule(bits: u64, mut f: impl FnMut(&'static str, f32)) {
    let mut i = 0;
    while i < SIGNALS.len() {
        let (code, mut best) = (SIGNALS[i].0, 0.0_f32);
        // Signals of one name stand together in the list.
        while i < SIGNALS.len() && SIGNALS[i].0 == code {
            if bits & 1 << i != 0 {
                best = best.max(SIGNALS[i].1);
            }
            i += 1;
        }
        if best > 0.0 {
            f(code, best);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn risk_counts_each_name_once() {
        let bits = Signal::Tautology.bit() | Signal::WildOr.bit();
        assert!((injection_risk(bits) - 0.85).abs() < 1e-6);
        let two = Signal::CommentCut.bit() | Signal::Unbalanced.bit();
        assert!((injection_risk(two) - (1.0 - 0.55 * 0.70)).abs() < 1e-6);
        assert_eq!(injection_risk(0), 0.0);
    }

    #[test]
    fn names_stand_together() {
        let mut seen: Vec<&str> = Vec::new();
        for (i, (code, _)) in SIGNALS.iter().enumerate() {
            if i > 0 && SIGNALS[i - 1].0 != *code {
                assert!(!seen.contains(code), "{code} is split");
            }
            seen.push(code);
        }
    }
}
