
    
    



select component
from "y"."stats"."mixture_balance"
where component is null


