// SPDX-License-Identifier: GPL-2.0-only
/*
 * Says why options did not get the value a fragment asked for. Linked with the kernel's own scripts/kconfig objects, so
 * whatever its Kconfig language can say is evaluated as the kernel evaluates it. One line for each option named on the
 * command line: NAME, a tab, the reason. Reads the Kconfig named by the first argument and $KCONFIG_CONFIG.
 */
#include <stdio.h>
#include <string.h>

#include "lkc.h"

static void put(void *unused, struct symbol *sym, const char *text)
{
	if (sym && sym->name && !(sym->flags & SYMBOL_CONST))
		printf("%s [=%s]", sym->name, sym_get_string_value(sym));
	else
		fputs(text, stdout);
}

/* Prints the terms of a conjunction that are not met; answers how many there were. */
static int unmet(const struct expr *e, int printed)
{
	if (!e || expr_calc_value((struct expr *)e) != no)
		return printed;
	if (e->type == E_AND) {
		printed = unmet(e->left.expr, printed);
		return unmet(e->right.expr, printed);
	}
	fputs(printed ? "; " : "needs ", stdout);
	expr_print(e, put, NULL, E_NONE);
	return printed + 1;
}

static void explain(const char *name)
{
	struct symbol *sym = sym_find(name);
	struct menu *choice;
	struct property *prop;
	int prompts = 0, printed = 0;

	printf("%s\t", name);
	if (!sym || sym->type == S_UNKNOWN) {
		puts("this kernel has no such option");
		return;
	}
	sym_calc_value(sym);
	for_all_prompts(sym, prop) {
		prompts++;
		printed = unmet(prop->visible.expr, printed);
		if (printed)
			break;
	}
	choice = sym_get_choice_menu(sym);
	if (!prompts) {
		fputs("cannot be set; other options select it: ", stdout);
		expr_print(sym->rev_dep.expr, put, NULL, E_NONE);
	} else if (!printed && choice) {
		fputs("another member of its choice is set", stdout);
	} else if (!printed) {
		printf("its dependencies are met and it is %s", sym_get_string_value(sym));
		if (sym->rev_dep.expr && expr_calc_value(sym->rev_dep.expr) != no) {
			fputs("; selected by ", stdout);
			expr_print(sym->rev_dep.expr, put, NULL, E_NONE);
		}
	}
	putchar('\n');
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	conf_parse(argv[1]);
	conf_read(NULL);
	for (int i = 2; i < argc; i++)
		explain(argv[i]);
	return 0;
}
