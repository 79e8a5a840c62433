/* Shared by base/settings*.c, and private to them. */
#ifndef SLUICE_BASE_SETTINGS_PRIV_H
#define SLUICE_BASE_SETTINGS_PRIV_H

#include "base/settings.h"

const struct setting *settings_find(const struct settings *s, const char *key);
/* Checks and stores a value of that row; appends it if the row is a list. */
bool settings_apply(const struct setting *row, void *options, const char *value, struct error *e);
void settings_list_add(const struct setting *row, void *options, const char *value);
void settings_list_clear(const struct setting *row, void *options);
/* Fills in "unknown key 'x'; did you mean 'y'?" and returns false. */
bool settings_refuse_key(const struct settings *s, const char *key, struct error *e);

/* Edit distance: letters to change, add or remove; 64 if either text has 64 or more. */
size_t settings_distance(const char *a, const char *b);
/* Warns of SLUICE_* variables that are not settings. True: one of them looks like a typo, which `e` describes. */
bool settings_check_environment(const struct settings *s, char *const *environment, struct error *e);

#endif
