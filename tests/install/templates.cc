// A C++ program with instances of templates that libzmq has, too, and an exception: templates BROKER QUEUE.
#include <map>
#include <set>
#include <sluice.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

static std::string caught(unsigned count)
{
    std::set<int> numbers;
    std::map<std::string, std::string> texts;
    std::vector<unsigned> places;
    std::set<std::string> names;
    try {
        for (unsigned i = 0; i < count; i++) {
            std::ostringstream text;
            text << i;
            numbers.insert(static_cast<int>(i));
            texts[text.str()] = text.str();
            names.insert(text.str());
            places.push_back(i);
        }
        throw std::runtime_error(texts.at("1") + " of " + std::to_string(numbers.size() + names.size() + places.size()));
    } catch (const std::exception &e) {
        return e.what();
    }
}

int main(int argc, char **argv)
{
    char error[256];
    sluice *s = argc == 3 ? sluice_connect(argv[1], nullptr, error) : nullptr;
    const std::string data = caught(100);
    sluice_event event = {};
    event.data = data.data();
    event.size = data.size();
    uint64_t sequence = 0;
    int outcome = s ? sluice_publish_wait(s, argv[2], &event, 1000, &sequence) : SLUICE_INVALID;
    sluice_close(s, 1000);
    return outcome == SLUICE_OK && data == "1 of 300" ? 0 : 1;
}
