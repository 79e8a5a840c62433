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

#endif
