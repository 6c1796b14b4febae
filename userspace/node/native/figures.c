/* SPDX-License-Identifier: MIT */
#include "native.h"

#include <stddef.h>
#include <string.h>

struct figure {
	const char *key;
	size_t offset, size;
};

#define FIGURE(structure, member, key)	{key, offsetof(struct structure, member), sizeof(((struct structure *)0)->member)}
#define OF_SMU(member, key)		FIGURE(agentmem_smu_stats, member, key)
#define OF_AGENT(member, key)		FIGURE(agentmem_stats, member, key)

static const struct figure of_smu[] = {
	OF_SMU(type, "type"), OF_SMU(flags, "flags"), OF_SMU(temperature, "temperature"), OF_SMU(length, "length"),
	OF_SMU(resident_top, "residentTop"), OF_SMU(resident_lower, "residentLower"), OF_SMU(stored, "stored"),
	OF_SMU(idle_ms, "idleMs"), OF_SMU(holders, "holders"), OF_SMU(base_depth, "baseDepth"),
	OF_SMU(algorithm, "algorithm"), OF_SMU(node, "node"), {0},
};

static const struct figure of_agent[] = {
	OF_AGENT(state, "state"), OF_AGENT(importance, "importance"), OF_AGENT(node, "node"), OF_AGENT(smus, "smus"),
	OF_AGENT(logical_bytes, "logicalBytes"), OF_AGENT(unique_bytes, "uniqueBytes"),
	OF_AGENT(resident_top, "residentTop"), OF_AGENT(resident_lower, "residentLower"),
	OF_AGENT(stored_bytes, "storedBytes"), OF_AGENT(swapped_bytes, "swappedBytes"),
	OF_AGENT(dedup_hits, "dedupHits"), OF_AGENT(dedup_bytes, "dedupBytes"), OF_AGENT(attach_hits, "attachHits"),
	OF_AGENT(delta_hits, "deltaHits"), OF_AGENT(compressions, "compressions"),
	OF_AGENT(decompressions, "decompressions"), OF_AGENT(decompress_ns, "decompressNs"),
	OF_AGENT(evict_age, "evictAge"), OF_AGENT(evict_pressure, "evictPressure"), OF_AGENT(evict_mark, "evictMark"),
	OF_AGENT(fault_resident, "faultResident"), OF_AGENT(fault_lower, "faultLower"),
	OF_AGENT(fault_stored, "faultStored"), OF_AGENT(fault_swapped, "faultSwapped"),
	OF_AGENT(anon_bytes, "anonBytes"), OF_AGENT(anon_stored_bytes, "anonStoredBytes"),
	OF_AGENT(anon_store_used, "anonStoreUsed"), {0},
};

/* All figures are unsigned but the node, which alone may be -1. */
static double number(const void *structure, const struct figure *figure)
{
	const char *at = (const char *)structure + figure->offset;
	uint64_t wide;
	int32_t node;
	uint32_t narrow;

	if (figure->size == sizeof(wide))
		return (double)*(const uint64_t *)memcpy(&wide, at, sizeof(wide));
	if (!strcmp(figure->key, "node"))
		return *(const int32_t *)memcpy(&node, at, sizeof(node));
	return *(const uint32_t *)memcpy(&narrow, at, sizeof(narrow));
}

static napi_value object_of(napi_env env, const void *structure, const struct figure *figures)
{
	napi_value object;

	if (napi_create_object(env, &object) != napi_ok)
		return NULL;
	for (; figures->key; figures++)
		if (!am_set(env, object, figures->key, am_number(env, number(structure, figures))))
			return NULL;
	return object;
}

static bool set_string(napi_env env, napi_value object, const char *key, const char *text)
{
	napi_value value;

	return object && napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok && am_set(env, object, key, value);
}

napi_value am_give_smu_figures(napi_env env, struct job *job)
{
	napi_value object = object_of(env, &job->figures.smu, of_smu);
	char hex[AGENTMEM_HEX_SIZE];

	if (!set_string(env, object, "digest", agentmem_hex(job->figures.smu.digest, hex)))
		return am_throw(env, "figures");
	return object;
}

napi_value am_give_agent_figures(napi_env env, struct job *job)
{
	napi_value object = object_of(env, &job->figures.agent, of_agent);

	return set_string(env, object, "name", job->figures.agent.name) ? object : am_throw(env, "figures");
}
