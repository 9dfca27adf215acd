// The same headers from C++.
#include <mica/mica.h>

#include <string>

int main()
{
    mica_error err;
    mica_model *model = nullptr;
    const mica_status status = mica_model_load(&model, "/nonexistent/model", nullptr, &err);
    return status == MICA_NOT_FOUND && std::string(mica_status_name(status)) == "NOT_FOUND" ? 0 : 1;
}
