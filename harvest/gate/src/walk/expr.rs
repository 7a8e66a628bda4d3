//! Expressions and calls; queries and tables are walked elsewhere.

use harvest::{DialectName, HarvestError, HarvestResult};
use sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, InTarget, ListAggOnOverflow, ObjectName, Subscript, Value, WindowFrameBound,
    WindowSpec, WindowType,
};

use super::Walk;
use super::fields::{is_scalar, unnested};
use crate::functions::{is_allowed_function, is_known_operator, is_refused_attribute, refusal_of_function};
use crate::refusal::{refuse, unknown};
use crate::show::is_readable_setting;

impl Walk<'_> {
    pub(super) fn exprs(&mut self, exprs: &[Expr]) -> HarvestResult<()> {
        exprs.iter().try_for_each(|e| self.expr(e))
    }

    pub(super) fn optional(&mut self, expr: Option<&Expr>) -> HarvestResult<()> {
        expr.map_or(Ok(()), |e| self.expr(e))
    }

    fn boxed(&mut self, expr: Option<&Expr>) -> HarvestResult<()> {
        self.optional(expr)
    }

    pub(crate) fn expr(&mut self, expr: &Expr) -> HarvestResult<()> {
        let mut expr = expr;
        // Chains of operators lean to the left and may be thousands long: they are walked without recursion.
        while let Some(left) = self.chained(expr)? {
            expr = left;
        }
        Ok(())
    }

    /// Walks everything of `expr` but its left operand, which is returned.
    fn chained<'e>(&mut self, expr: &'e Expr) -> HarvestResult<Option<&'e Expr>> {
        let left = match expr {
            Expr::BinaryOp { left, op, right } => {
                self.operator(op)?;
                self.expr(right)?;
                left
            }
            Expr::AnyOp { left, compare_op, right, .. } | Expr::AllOp { left, compare_op, right } => {
                self.operator(compare_op)?;
                self.expr(right)?;
                left
            }
            Expr::IsFalse(e)
            | Expr::IsNotFalse(e)
            | Expr::IsTrue(e)
            | Expr::IsNotTrue(e)
            | Expr::IsNull(e)
            | Expr::IsNotNull(e)
            | Expr::IsUnknown(e)
            | Expr::IsNotUnknown(e)
            | Expr::Nested(e)
            | Expr::UnaryOp { op: _, expr: e }
            | Expr::IsJson { expr: e, .. }
            | Expr::IsNormalized { expr: e, .. }
            | Expr::Cast { expr: e, .. }
            | Expr::Extract { expr: e, .. }
            | Expr::Ceil { expr: e, .. }
            | Expr::Floor { expr: e, .. }
            | Expr::Collate { expr: e, .. }
            | Expr::Prefixed { prefix: _, value: e } => e,
            Expr::IsDistinctFrom(a, b)
            | Expr::IsNotDistinctFrom(a, b)
            | Expr::AtTimeZone { timestamp: a, time_zone: b }
            | Expr::Position { expr: a, r#in: b }
            | Expr::RLike { expr: a, pattern: b, .. } => {
                self.expr(b)?;
                a
            }
            Expr::Like { expr, pattern, escape_char, .. }
            | Expr::ILike { expr, pattern, escape_char, .. }
            | Expr::SimilarTo { expr, pattern, escape_char, .. } => {
                self.expr(pattern)?;
                self.boxed(escape_char.as_deref())?;
                expr
            }
            Expr::Between { expr, low, high, .. } => {
                self.expr(low)?;
                self.expr(high)?;
                expr
            }
            Expr::In { expr, target, .. } => {
                self.in_target(target)?;
                expr
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                let scalar = is_scalar(root);
                // Fields of what built-in functions give have no fields themselves.
                let called = matches!(unnested(root), Expr::Function(_));
                for (at, access) in access_chain.iter().enumerate() {
                    self.access(access, scalar || (called && at > 0))?;
                }
                root
            }
            other => return self.leaf(other).map(|()| None),
        };
        Ok(Some(left))
    }

    /// Nodes without a left operand.
    fn leaf(&mut self, expr: &Expr) -> HarvestResult<()> {
        match expr {
            Expr::Identifier(_) | Expr::Value(_) | Expr::TypedString(_) | Expr::MatchAgainst { .. } => Ok(()),
            Expr::CompoundIdentifier(parts) => match parts.last() {
                Some(last) => self.attribute(&last.value),
                None => Ok(()),
            },
            Expr::Wildcard(_) | Expr::QualifiedWildcard(_, _) => Ok(()),
            Expr::Tuple(list) => self.exprs(list),
            Expr::Array(array) => self.exprs(&array.elem),
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                sets.iter().try_for_each(|set| self.exprs(set))
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.boxed(operand.as_deref())?;
                for when in conditions {
                    self.expr(&when.condition)?;
                    self.expr(&when.result)?;
                }
                self.boxed(else_result.as_deref())
            }
            Expr::Exists { subquery, .. } | Expr::Subquery(subquery) => self.query(subquery),
            Expr::Function(function) => self.function(function),
            other => self.rarer(other),
        }
    }

    /// The rest of the list: keeps the frames of the recursion small.
    fn rarer(&mut self, expr: &Expr) -> HarvestResult<()> {
        match expr {
            Expr::Convert { is_try: false, expr, styles, .. } => {
                self.expr(expr)?;
                self.exprs(styles)
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                self.expr(expr)?;
                self.boxed(substring_from.as_deref())?;
                self.boxed(substring_for.as_deref())
            }
            Expr::Trim { expr, trim_what, trim_characters, .. } => {
                self.expr(expr)?;
                self.boxed(trim_what.as_deref())?;
                self.exprs(trim_characters.as_deref().unwrap_or_default())
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.expr(expr)?;
                self.expr(overlay_what)?;
                self.expr(overlay_from)?;
                self.boxed(overlay_for.as_deref())
            }
            Expr::Interval(interval) => self.expr(&interval.value),
            Expr::MemberOf(member) => {
                self.expr(&member.value)?;
                self.expr(&member.array)
            }
            Expr::Named { .. }
            | Expr::JsonAccess { .. }
            | Expr::Struct { .. }
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::OuterJoin(_)
            | Expr::Prior(_)
            | Expr::Lambda(_)
            | Expr::Convert { .. } => unknown("an expression of another engine"),
            // Everything else is matched before; a node kind that is new is refused.
            _ => unknown("an expression of an unknown kind"),
        }
    }

    /// `value.name` calls a function where no column has the name.
    fn attribute(&mut self, name: &str) -> HarvestResult<()> {
        if is_refused_attribute(self.dialect, name) {
            return refuse(&format!("the attribute {name}"), &refusal_of_function(name));
        }
        Ok(())
    }

    fn access(&mut self, access: &AccessExpr, scalar: bool) -> HarvestResult<()> {
        match access {
            // A value that can have no fields is handed to a function of that name.
            AccessExpr::Dot(Expr::Identifier(ident)) if scalar => {
                let name = self.folded(ident);
                self.called(None, &name)
            }
            AccessExpr::Dot(Expr::Identifier(ident)) => self.attribute(&ident.value),
            AccessExpr::Dot(expr) => self.expr(expr),
            AccessExpr::Subscript(Subscript::Index { index }) => self.expr(index),
            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => {
                self.optional(lower_bound.as_ref())?;
                self.optional(upper_bound.as_ref())?;
                self.optional(stride.as_ref())
            }
        }
    }

    fn operator(&mut self, operator: &BinaryOperator) -> HarvestResult<()> {
        match operator {
            BinaryOperator::Assignment => {
                refuse("an assignment", "use a literal or a parameter instead of @variables")
            }
            BinaryOperator::Custom(text) if !is_known_operator(text) => refuse(
                &format!("the operator {text}"),
                "only built-in operators and those of known extensions pass",
            ),
            BinaryOperator::PGCustomBinaryOperator(parts) => {
                let schema =
                    parts.len() < 2 || matches!(parts[0].as_str(), "pg_catalog" | "public" | "extensions");
                let known = parts.last().is_some_and(|p| is_known_operator(p));
                if schema && known { Ok(()) } else { unknown("an operator of another schema") }
            }
            _ => Ok(()),
        }
    }

    fn in_target(&mut self, target: &InTarget) -> HarvestResult<()> {
        match target {
            InTarget::List(list) => self.exprs(list),
            InTarget::Subquery(query) => self.query(query),
            InTarget::Unnest(expr) => self.expr(expr),
            InTarget::Table { name, args: Some(args) } => self.function_in_from(name, args),
            InTarget::Table { name, args: None } => {
                if let Some(uses) = &mut self.uses {
                    uses.whole_name(self.dialect, name);
                }
                self.table_name(name)
            }
        }
    }

    fn function(&mut self, function: &Function) -> HarvestResult<()> {
        let Function {
            name,
            uses_odbc_syntax: _,
            parameters,
            args,
            within_group,
            filter,
            null_treatment: _,
            over,
        } = function;
        if !matches!(parameters, FunctionArguments::None) {
            return unknown("a parametric function");
        }
        let called = self.call_name(name)?;
        self.special_arguments(&called, args)?;
        match args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(query) => self.query(query)?,
            FunctionArguments::List(list) => {
                self.function_args(&list.args)?;
                list.clauses.iter().try_for_each(|clause| self.argument_clause(clause))?;
            }
        }
        self.order_by(within_group)?;
        self.boxed(filter.as_deref())?;
        match over {
            Some(WindowType::WindowSpec(spec)) => self.window(spec),
            Some(WindowType::NamedWindow(_)) | None => Ok(()),
        }
    }

    /// Looks a function up by its written name and notes it; returns the name.
    pub(super) fn call_name(&mut self, name: &ObjectName) -> HarvestResult<String> {
        let (schema, name) = self.parts(name)?;
        let (schema, name) = (schema.map(|s| self.folded(s)), self.folded(name));
        self.called(schema.as_deref(), &name)?;
        Ok(name)
    }

    pub(super) fn called(&mut self, schema: Option<&str>, name: &str) -> HarvestResult<()> {
        if self.uses.is_some() {
            return Ok(());
        }
        if !is_allowed_function(self.dialect, schema, name, self.policy) {
            let shown: String = name.chars().take(80).collect();
            return Err(HarvestError::gate(format!("the function {shown}"), refusal_of_function(name)));
        }
        if !self.functions.contains(name) {
            self.functions.insert(name.to_lowercase());
        }
        Ok(())
    }

    /// Functions that are harmless with some arguments only.
    fn special_arguments(&mut self, name: &str, args: &FunctionArguments) -> HarvestResult<()> {
        let list = match args {
            FunctionArguments::List(list) => list.args.as_slice(),
            FunctionArguments::None | FunctionArguments::Subquery(_) => &[],
        };
        match (self.dialect, name) {
            (DialectName::Postgresql, "current_setting") => {
                if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) = list.first()
                    && let Value::SingleQuotedString(setting) = &value.value
                    && is_readable_setting(setting)
                {
                    return Ok(());
                }
                refuse("this current_setting", "only settings without paths, hosts or secrets may be read")
            }
            // The server repeats an empty text as often as it is told, and hears no KILL and no time limit meanwhile.
            (DialectName::Mysql | DialectName::Mariadb, "repeat") if !repeats_briefly(list) => refuse(
                "REPEAT of a text that may be empty, an unknown number of times",
                "repeat a literal that is not empty, or write the number as a literal up to 1000000",
            ),
            (DialectName::Mysql | DialectName::Mariadb, "last_insert_id") if !list.is_empty() => {
                refuse("LAST_INSERT_ID with a value", "call it without an argument")
            }
            _ => Ok(()),
        }
    }

    pub(super) fn function_args(&mut self, args: &[FunctionArg]) -> HarvestResult<()> {
        for arg in args {
            let value = match arg {
                FunctionArg::Named { name: _, arg, operator: _ } => arg,
                FunctionArg::ExprNamed { name, arg, operator: _ } => {
                    self.expr(name)?;
                    arg
                }
                FunctionArg::Unnamed(arg) => arg,
            };
            match value {
                FunctionArgExpr::Expr(expr) => self.expr(expr)?,
                FunctionArgExpr::QualifiedWildcard(_) | FunctionArgExpr::Wildcard => {}
                FunctionArgExpr::WildcardWithOptions(options) => self.wildcard(options)?,
            }
        }
        Ok(())
    }

    fn argument_clause(&mut self, clause: &FunctionArgumentClause) -> HarvestResult<()> {
        match clause {
            FunctionArgumentClause::OrderBy(list) => self.order_by(list),
            FunctionArgumentClause::Limit(expr) | FunctionArgumentClause::Where(expr) => self.expr(expr),
            FunctionArgumentClause::IgnoreOrRespectNulls(_)
            | FunctionArgumentClause::Separator(_)
            | FunctionArgumentClause::JsonNullClause(_)
            | FunctionArgumentClause::JsonReturningClause(_)
            | FunctionArgumentClause::OnOverflow(ListAggOnOverflow::Error) => Ok(()),
            FunctionArgumentClause::OnOverflow(_) | FunctionArgumentClause::Having(_) => {
                unknown("an argument clause of another engine")
            }
        }
    }

    pub(super) fn window(&mut self, spec: &WindowSpec) -> HarvestResult<()> {
        self.exprs(&spec.partition_by)?;
        self.order_by(&spec.order_by)?;
        let Some(frame) = &spec.window_frame else { return Ok(()) };
        for bound in [Some(&frame.start_bound), frame.end_bound.as_ref()].into_iter().flatten() {
            match bound {
                WindowFrameBound::CurrentRow => {}
                WindowFrameBound::Preceding(expr) | WindowFrameBound::Following(expr) => {
                    self.boxed(expr.as_deref())?;
                }
            }
        }
        Ok(())
    }
}

/// Times that a text may be repeated whatever it is.
const REPEATS_MAX: u64 = 1_000_000;

/// Whether REPEAT ends soon: its text is a literal that is not empty, which the server's own limit of a text bounds, or its
/// number is a small literal.
fn repeats_briefly(args: &[FunctionArg]) -> bool {
    let value = |at: usize| match args.get(at) {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))) => match unnested(expr) {
            Expr::Value(value) => Some(&value.value),
            _ => None,
        },
        _ => None,
    };
    let filled = matches!(value(0), Some(Value::SingleQuotedString(text)) if !text.is_empty());
    let few = matches!(value(1), Some(Value::Number(number, _)) if number.parse().is_ok_and(|n: u64| n <= REPEATS_MAX));
    filled || few
}
