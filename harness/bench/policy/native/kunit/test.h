/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of KUnit as its cases of the policy take: the same file is a program here. It prints KTAP and ends with the
 * number of cases that failed.
 */
#ifndef _POLICY_KUNIT_H
#define _POLICY_KUNIT_H

#include <linux/types.h>
#include <stdio.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define U32_MAX UINT32_MAX
#define U64_MAX UINT64_MAX

struct kunit {
	bool failed;
};

struct kunit_case {
	void (*run)(struct kunit *test);
	const char *name;
};

struct kunit_suite {
	const char *name;
	struct kunit_case *test_cases;
};

#define KUNIT_CASE(test_name) { .run = (test_name), .name = #test_name }

#define _KUNIT_EXPECT(test, left, op, right, ...) \
	do { \
		u64 _left = (left), _right = (right); \
		if (_left op _right) \
			break; \
		(test)->failed = true; \
		printf("    # %s:%d: expected %s %s %s, but it is %llu and %llu: ", __FILE__, __LINE__, #left, #op, #right, \
		       (unsigned long long)_left, (unsigned long long)_right); \
		printf(__VA_ARGS__); \
		printf("\n"); \
	} while (0)

#define KUNIT_EXPECT_EQ(test, left, right) _KUNIT_EXPECT(test, left, ==, right, "%s", __func__)
#define KUNIT_EXPECT_LT(test, left, right) _KUNIT_EXPECT(test, left, <, right, "%s", __func__)
#define KUNIT_EXPECT_EQ_MSG(test, left, right, ...) _KUNIT_EXPECT(test, left, ==, right, __VA_ARGS__)
#define KUNIT_EXPECT_GT_MSG(test, left, right, ...) _KUNIT_EXPECT(test, left, >, right, __VA_ARGS__)

static inline int kunit_run(const struct kunit_suite *suite)
{
	unsigned int count = 0, bad = 0, i;

	while (suite->test_cases[count].run)
		count++;
	printf("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: %s\n    1..%u\n", suite->name, count);
	for (i = 0; i < count; i++) {
		struct kunit test = { false };

		suite->test_cases[i].run(&test);
		bad += test.failed;
		printf("    %sok %u %s\n", test.failed ? "not " : "", i + 1, suite->test_cases[i].name);
	}
	printf("%sok 1 %s\n", bad ? "not " : "", suite->name);
	return (int)bad;
}

#define kunit_test_suite(suite) \
	int main(void) \
	{ \
		return kunit_run(&(suite)); \
	} \
	extern int policy_suite_end

#define MODULE_LICENSE(licence) extern int policy_licence

#endif
