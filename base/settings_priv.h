/* What the files of settings share. Private to base/settings*.c. */
#ifndef SLUICE_BASE_SETTINGS_PRIV_H
#define SLUICE_BASE_SETTINGS_PRIV_H

#include "base/settings.h"

const struct setting *settings_find(const struct settings *s, const char *key);
/* Checks and stores one value of that row; lists get one item more. */
bool settings_apply(const struct setting *row, void *options, const char *value, struct error *e);
void settings_list_add(const struct setting *row, void *options, const char *value);
void settings_list_clear(const struct setting *row, void *options);
/* "unknown key 'x'; did you mean 'y'?" */
bool settings_refuse_key(const struct settings *s, const char *key, struct error *e);

/* How many letters to change, add or leave out from one to the other; 64 where either has as many. */
size_t settings_distance(const char *a, const char *b);
/* Warns of variables that begin with SLUICE_ and are no setting. True: one of them is a slip of the pen, which `e` says. */
bool settings_check_environment(const struct settings *s, char *const *environment, struct error *e);

#endif
